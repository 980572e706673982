# A job that does what it is told, and its producer: `ruby sidekiq.rb produce`. The worker is `sidekiq -r sidekiq.rb`.
require 'sidekiq'

class Job
  include Sidekiq::Job
  sidekiq_options queue: 'mail', backtrace: false
  # Nothing is tried again while a test looks.
  sidekiq_retry_in { 3600 }

  def perform(kind, _secret)
    raise 'bad' if kind == 'bad'
    sleep if kind == 'hold'
  end
end

if ARGV == ['produce']
  secret = '4111-secret'
  4.times { Job.perform_async('good', secret) }
  2.times { Job.set(retry: 0).perform_async('bad', secret) }
  Job.set(retry: 5).perform_async('bad', secret)
  Job.perform_async('hold', secret)
  3.times { Job.perform_in(3600, 'good', secret) }
  5.times { Job.set(queue: 'other').perform_async('good', secret) }
  puts 'ready'
end
