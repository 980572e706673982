//! What the parser of the export format makes of text, binary, huge, torn and hostile input.

use proptest::prelude::{any, prop_assert_eq, proptest};

use super::*;

fn binary(name: &str, value: &[u8]) -> Vec<u8> {
    [name.as_bytes(), b"\n", &(value.len() as u64).to_le_bytes(), value, b"\n"].concat()
}

fn messages(parser: &mut Parser, mut input: &[u8]) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    while let Some(entry) = parser.next(&mut input) {
        out.push(entry.get(Field::Message).unwrap_or(b"(none)").to_vec());
    }
    out
}

#[test]
fn text_and_binary_fields_of_two_entries_are_told_apart() {
    let tricky = b"two\nlines\n\n__CURSOR=forged\n\nMESSAGE=forged\0";
    let input =
        [b"__CURSOR=s=1;i=2\nMESSAGE=a=b\n_PID=7\n\n\nX_OTHER=1\n".as_slice(), &binary("MESSAGE", tricky), b"\n"];
    let input = input.concat();
    let mut rest = input.as_slice();
    let mut parser = Parser::new();
    let entry = parser.next(&mut rest).unwrap();
    assert_eq!(entry.text(Field::Cursor), Some("s=1;i=2"));
    assert_eq!((entry.text(Field::Message), entry.number(Field::Pid)), (Some("a=b"), Some(7)));
    let entry = parser.next(&mut rest).unwrap();
    assert_eq!((entry.get(Field::Message), entry.get(Field::Cursor)), (Some(&tricky[..]), None));
    assert!(parser.next(&mut rest).is_none());
    assert_eq!(parser.malformed, 0);
}

#[test]
fn an_entry_that_comes_in_single_bytes_is_the_same_entry() {
    let input = [binary("MESSAGE", "wörld\n".as_bytes()), b"PRIORITY=3\n\n".to_vec()].concat();
    let mut parser = Parser::new();
    let ends = input.iter().filter(|byte| parser.next(&mut std::slice::from_ref(*byte)).is_some()).count();
    assert_eq!(ends, 1);
    assert_eq!(parser.entry.text(Field::Message), Some("wörld\n"));
    assert_eq!(parser.entry.text(Field::Priority), Some("3"));
}

#[test]
fn a_long_message_is_cut_between_characters_and_a_long_name_of_a_unit_is_left_out() {
    let long = "é".repeat(MAX_MESSAGE);
    let unit = "u".repeat(MAX_FIELD + 1);
    let input = [format!("_SYSTEMD_UNIT={unit}\n").into_bytes(), binary("MESSAGE", format!("a{long}").as_bytes())];
    let input = [input.concat(), b"\n".to_vec()].concat();
    let mut rest = input.as_slice();
    let mut parser = Parser::new();
    let entry = parser.next(&mut rest).unwrap();
    assert!(entry.cut);
    assert_eq!(entry.text(Field::Message).map(str::len), Some(MAX_MESSAGE - 1));
    assert_eq!(entry.get(Field::Unit), None);
}

#[test]
fn fields_without_number_and_bound_take_no_memory() {
    let mut parser = Parser::new();
    let mut feed = |mut piece: &[u8]| assert!(parser.next(&mut piece).is_none());
    let mut head = b"MESSAGE\n".to_vec();
    head.extend(u64::MAX.to_le_bytes());
    for number in 0..100_000 {
        feed(format!("X_{number}={}\n", "v".repeat(100)).as_bytes());
        feed(b"_COMM=again and again\n");
    }
    feed(&head);
    let piece = vec![b'x'; 1 << 20];
    for _ in 0..64 {
        feed(&piece);
    }
    assert!(parser.entry.room() < 2 * MAX_MESSAGE, "{}", parser.entry.room());
    assert!(parser.name.capacity() <= 2 * MAX_NAME);
}

#[test]
fn of_a_field_that_comes_twice_the_first_value_holds() {
    let mut parser = Parser::new();
    assert_eq!(
        messages(&mut parser, b"MESSAGE=one\nMESSAGE=two\n\nMESSAGE=\nMESSAGE=x\n\n"),
        [b"one".to_vec(), vec![]]
    );
}

#[test]
fn lines_that_are_no_fields_are_passed_over_and_counted() {
    let mut parser = Parser::new();
    let name = "N".repeat(MAX_NAME + 1);
    let input = format!("-- Reboot --\nMESSAGE=one\n{name}=x\n=y\nlower=z\n\nMESSAGE=two\n\n");
    assert_eq!(messages(&mut parser, input.as_bytes()), [b"one".to_vec(), b"two".to_vec()]);
    assert_eq!(parser.malformed, 4);
}

#[test]
fn a_torn_entry_is_not_handed_out() {
    for input in [&b"MESSAGE=one\n"[..], b"MESSAGE=one", b"MESSAGE\n\x08\0\0\0\0\0\0\0abc", b"MESS", b""] {
        assert!(messages(&mut Parser::new(), input).is_empty());
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic_and_pieces_do_not_matter(bytes in proptest::collection::vec(
        proptest::prop_oneof![any::<u8>(), proptest::prelude::Just(b'\n'), proptest::prelude::Just(b'='),
            proptest::prelude::Just(0u8), proptest::prelude::Just(b'A')], 0..400), piece in 1usize..50)
    {
        let whole = messages(&mut Parser::new(), &bytes);
        let mut parser = Parser::new();
        let pieces: Vec<_> = bytes.chunks(piece).flat_map(|chunk| messages(&mut parser, chunk)).collect();
        prop_assert_eq!(whole, pieces);
    }

    #[test]
    fn every_message_comes_back_as_it_was_written(
        texts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 1..10))
    {
        let input: Vec<u8> = texts.iter().flat_map(|text| [binary("MESSAGE", text), b"\n".to_vec()].concat()).collect();
        prop_assert_eq!(messages(&mut Parser::new(), &input), texts);
    }
}
