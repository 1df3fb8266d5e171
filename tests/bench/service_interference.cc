#include "tests/bench/service_interference.h"

#include <glog/logging.h>

#include <algorithm>
#include <cstdio>

#include "absl/time/clock.h"
#include "tests/bench/generation_listener.h"
#include "tests/bench/measure.h"
#include "tests/bench/prefill_load.h"

namespace eidetic::bench {
namespace {

struct Rhythm {
  double p50_seconds = 0, p99_seconds = 0;  // from one token of a stream to its next
  double tokens_per_second = 0;             // of all streams
  double prefill_tokens_per_second = 0;     // of the load
};

// Times between tokens of the streams, over the stretch in which all of them decode.
Rhythm RhythmOf(const std::vector<std::shared_ptr<GenerationListener>>& streams) {
  double begin = 0, end = streams.front()->times().back();
  for (const auto& stream : streams) {
    begin = std::max(begin, stream->times().front());
    end = std::min(end, stream->times().back());
  }
  std::vector<double> gaps;
  for (const auto& stream : streams) {
    const std::vector<double>& times = stream->times();
    for (size_t i = 1; i < times.size(); ++i) {
      if (times[i - 1] >= begin && times[i] <= end) gaps.push_back(times[i] - times[i - 1]);
    }
  }
  CHECK(!gaps.empty()) << "the streams never decoded all at once: raise --tokens";
  return {.p50_seconds = Median(gaps),
          .p99_seconds = Quantile(gaps, 0.99),
          .tokens_per_second = static_cast<double>(gaps.size()) / (end - begin)};
}

Rhythm Measure(ServiceEngine* service, const ServiceOptions& options) {
  std::vector<GenerateSpec> specs;
  for (int64_t i = 0; i < options.streams; ++i) specs.push_back(service->Spec(options, i));
  const StepTotals before = service->metrics().totals();
  const double begin = NowSeconds();
  const auto streams = RunAll(&service->engine(), std::move(specs));
  const double seconds = NowSeconds() - begin;
  const int64_t own = int64_t{options.streams} * options.prompt_tokens;
  Rhythm rhythm = RhythmOf(streams);
  rhythm.prefill_tokens_per_second =
      static_cast<double>(service->metrics().totals().prefill_tokens - before.prefill_tokens -
                          own) /
      seconds;
  return rhythm;
}

// Until the load's first prompt tokens are computed.
void AwaitPrefill(ServiceEngine* service) {
  const int64_t before = service->metrics().totals().prefill_tokens;
  while (service->metrics().totals().prefill_tokens == before) {
    absl::SleepFor(absl::Milliseconds(1));
  }
}

void PrintRound(int round, const char* load, const Rhythm& rhythm) {
  std::printf(
      "bench name=service_interference_round round=%d load=%s p50_ms=%.4f p99_ms=%.4f "
      "tokens_per_second=%.1f prefill_tokens_per_second=%.1f\n",
      round, load, rhythm.p50_seconds * 1e3, rhythm.p99_seconds * 1e3, rhythm.tokens_per_second,
      rhythm.prefill_tokens_per_second);
  std::fflush(stdout);
}

double MedianOf(const std::vector<Rhythm>& rounds, double Rhythm::*field) {
  std::vector<double> values;
  for (const Rhythm& round : rounds) values.push_back(round.*field);
  return Median(std::move(values));
}

}  // namespace

void BenchInterference(ServiceEngine* service, const ServiceOptions& options,
                       double tokens_per_second) {
  std::vector<Rhythm> alone, beside;
  Measure(service, options);  // warm-up
  for (int round = 0; round < options.rounds; ++round) {
    alone.push_back(Measure(service, options));
    PrintRound(round, "none", alone.back());
    const PrefillLoad load(service, options, tokens_per_second);
    AwaitPrefill(service);
    beside.push_back(Measure(service, options));
    PrintRound(round, "prefill", beside.back());
  }
  const double alone_p99 = MedianOf(alone, &Rhythm::p99_seconds);
  const double beside_p99 = MedianOf(beside, &Rhythm::p99_seconds);
  std::printf(
      "bench name=service_interference model=%s streams=%d tokens=%d rounds=%d "
      "query_chunk_tokens=%d max_batch_tokens=%d prefill_sessions=%d prefill_tokens=%d "
      "offered_tokens_per_second=%.0f prefill_tokens_per_second=%.1f alone_p50_ms=%.4f "
      "alone_p99_ms=%.4f beside_p50_ms=%.4f beside_p99_ms=%.4f p99_ratio=%.3f\n",
      options.model.c_str(), options.streams, options.tokens, options.rounds,
      options.limits.query_chunk_tokens, options.limits.plan.max_batch_tokens,
      options.prefill_sessions, options.prefill_tokens, tokens_per_second,
      MedianOf(beside, &Rhythm::prefill_tokens_per_second),
      MedianOf(alone, &Rhythm::p50_seconds) * 1e3, alone_p99 * 1e3,
      MedianOf(beside, &Rhythm::p50_seconds) * 1e3, beside_p99 * 1e3, beside_p99 / alone_p99);
  std::fflush(stdout);
}

}  // namespace eidetic::bench
