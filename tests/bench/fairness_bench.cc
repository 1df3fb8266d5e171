// What a tenant that asks for ten times its share does to the others' first tokens.
//
// Each client sends a request, waits for its last token, and sends the next. Four tenants of equal
// weight have as many clients as fill a step; then one of them has ten times as many. Both kinds of
// round in turn; printed is each, and the ratio of the medians of the others' p99.
#include <glog/logging.h>

#include <atomic>
#include <cstdio>
#include <string>
#include <thread>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "tests/bench/generation_listener.h"
#include "tests/bench/measure.h"
#include "tests/bench/service_engine.h"

ABSL_FLAG(std::string, device, "cpu", "as of eidetic-server");
ABSL_FLAG(std::string, model, "engine/model/demo", "model folder, or a config.json");
ABSL_FLAG(std::string, demo, "engine/model/demo", "folder of the tokenizer for a config.json");
ABSL_FLAG(int32_t, tenants, 4, "of equal weight");
ABSL_FLAG(int32_t, clients, 4, "of each tenant");
ABSL_FLAG(int32_t, times, 10, "as many clients has the greedy tenant, every other round");
ABSL_FLAG(int32_t, prompt_tokens, 64, "of each request");
ABSL_FLAG(int32_t, tokens, 32, "that each request generates");
ABSL_FLAG(int32_t, rounds, 5, "of each kind, in turn");
ABSL_FLAG(double, seconds, 10, "of each round");

namespace eidetic::bench {
namespace {

struct FirstTokens {
  std::vector<double> greedy, others;  // seconds from the request
  int64_t greedy_tokens = 0, other_tokens = 0;
};

class Round {
 public:
  Round(ServiceEngine* service, const ServiceOptions& options)
      : service_(service), options_(options) {}

  // `clients` of each tenant, `greedy_clients` of the first, for `seconds`.
  FirstTokens Run(int32_t tenants, int32_t clients, int32_t greedy_clients, double seconds) {
    const double end = NowSeconds() + seconds;
    std::vector<std::thread> threads;
    for (int32_t tenant = 0; tenant < tenants; ++tenant) {
      for (int32_t i = 0; i < (tenant == 0 ? greedy_clients : clients); ++i) {
        threads.emplace_back([this, tenant, end] { BeClient(tenant, end); });
      }
    }
    for (std::thread& thread : threads) thread.join();
    absl::MutexLock lock(&mutex_);
    return std::move(result_);
  }

 private:
  void BeClient(int32_t tenant, double end) {
    while (NowSeconds() < end) {
      GenerateSpec spec = service_->Spec(options_, next_++);
      spec.tenant = absl::StrCat("tenant-", tenant);
      const double begin = NowSeconds();
      const auto listener = GenerationListener::Start(&service_->engine(), std::move(spec));
      listener->WaitForEnd();
      const std::vector<double>& times = listener->times();
      absl::MutexLock lock(&mutex_);
      (tenant == 0 ? result_.greedy : result_.others).push_back(times.front() - begin);
      (tenant == 0 ? result_.greedy_tokens : result_.other_tokens) += times.size();
    }
  }

  ServiceEngine* const service_;
  const ServiceOptions options_;
  std::atomic<int64_t> next_{0};
  absl::Mutex mutex_;
  FirstTokens result_ ABSL_GUARDED_BY(mutex_);
};

double Print(const char* kind, int round, const FirstTokens& first) {
  const double p99 = Quantile(first.others, 0.99);
  std::printf(
      "bench name=fairness_round round=%d kind=%s others_requests=%zu others_p50_ms=%.2f "
      "others_p99_ms=%.2f greedy_requests=%zu greedy_p99_ms=%.2f greedy_token_share=%.3f\n",
      round, kind, first.others.size(), Median(first.others) * 1e3, p99 * 1e3, first.greedy.size(),
      Quantile(first.greedy, 0.99) * 1e3,
      static_cast<double>(first.greedy_tokens) / (first.greedy_tokens + first.other_tokens));
  std::fflush(stdout);
  return p99;
}

void Run() {
  const int32_t tenants = absl::GetFlag(FLAGS_tenants), clients = absl::GetFlag(FLAGS_clients);
  const int32_t greedy = clients * absl::GetFlag(FLAGS_times);
  const double seconds = absl::GetFlag(FLAGS_seconds);
  ServiceOptions options{.device = absl::GetFlag(FLAGS_device),
                         .model = absl::GetFlag(FLAGS_model),
                         .tokenizer = absl::GetFlag(FLAGS_demo),
                         .streams = tenants * clients + greedy,
                         .tokens = absl::GetFlag(FLAGS_tokens),
                         .prompt_tokens = absl::GetFlag(FLAGS_prompt_tokens),
                         .prefill_sessions = 0,
                         .max_batch_sequences = tenants * clients};
  ServiceEngine service(options);
  std::vector<double> at_share, at_times;
  for (int round = 0; round < absl::GetFlag(FLAGS_rounds); ++round) {
    at_share.push_back(
        Print("share", round, Round(&service, options).Run(tenants, clients, clients, seconds)));
    at_times.push_back(
        Print("greedy", round, Round(&service, options).Run(tenants, clients, greedy, seconds)));
  }
  std::printf(
      "bench name=fairness device=\"%s\" tenants=%d clients=%d times=%d others_p99_ms=%.2f "
      "others_p99_ms_beside_greedy=%.2f ratio=%.3f\n",
      service.backend().name().c_str(), tenants, clients, absl::GetFlag(FLAGS_times),
      Median(at_share) * 1e3, Median(at_times) * 1e3, Median(at_times) / Median(at_share));
}

}  // namespace
}  // namespace eidetic::bench

int main(int argc, char** argv) {
  absl::ParseCommandLine(argc, argv);
  eidetic::bench::Run();
  return 0;
}
