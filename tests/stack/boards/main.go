// boards reads dashboards as strictly as Grafana's published schema has them: fields that it does not know are faults,
// those of panels and of queries among them. It prints each fault, and ends with 1 where there is one.
package main

import (
	"fmt"
	"os"

	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

func main() {
	plugins.RegisterDefaultPlugins()
	code := 0
	for _, path := range os.Args[1:] {
		if err := check(path); err != nil {
			fmt.Printf("%s: %v\n", path, err)
			code = 1
		}
	}
	os.Exit(code)
}

func check(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var board dashboard.Dashboard
	if err := fault(board.UnmarshalJSONStrict(text)); err != nil {
		return err
	}
	return fault(board.Validate())
}

// fault is err, unless it is the empty list of faults that both return where there is none.
func fault(err error) error {
	if err == nil || err.Error() == "" {
		return nil
	}
	return err
}
