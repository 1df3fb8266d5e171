#include "tests/bench/prefill_load.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tests/bench/engine_calls.h"
#include "tests/bench/measure.h"
#include "tests/bench/some_tokens.h"

namespace eidetic::bench {

PrefillLoad::PrefillLoad(ServiceEngine* service, const ServiceOptions& options,
                         double tokens_per_second)
    : service_(service),
      prompt_tokens_(options.prefill_tokens),
      piece_tokens_(tokens_per_second > 0 ? options.limits.query_chunk_tokens
                                          : options.prefill_tokens),
      tokens_per_second_(tokens_per_second) {
  for (int i = 0; i < options.prefill_sessions; ++i) {
    threads_.emplace_back([this, i] { Run(i); });
  }
}

PrefillLoad::~PrefillLoad() {
  stopped_ = true;
  for (std::thread& thread : threads_) thread.join();
}

void PrefillLoad::Run(int thread) {
  const SessionName name{"bench", absl::StrCat("prefill-", thread)};
  Engine& engine = service_->engine();
  for (int64_t prompt = 0; !stopped_; ++prompt) {
    Await<SessionInfo>([&](auto done) {
      engine.CreateSession(name, service_->settings(), "", std::nullopt, "", "", std::move(done));
    });
    AppendPrompt(name, prompt);
    AwaitOk([&](auto done) { engine.DeleteSession(name, std::nullopt, std::move(done)); });
  }
}

void PrefillLoad::AppendPrompt(const SessionName& name, int64_t seed) {
  const auto stream = Await<std::shared_ptr<AppendStream>>([&](auto done) {
    service_->engine().OpenAppend(
        name, [](memory::Position, memory::Position) {}, std::move(done));
  });
  const std::vector<memory::TokenId> tokens = SomeTokens(prompt_tokens_, seed);
  for (int64_t begin = 0; begin < prompt_tokens_ && !stopped_; begin += piece_tokens_) {
    const int64_t end = std::min(begin + piece_tokens_, prompt_tokens_);
    Pace(end - begin);
    Await<memory::Position>([&](auto done) {
      stream->Append({tokens.begin() + begin, tokens.begin() + end}, std::nullopt, std::move(done));
    });
  }
  if (!stopped_) AwaitOk([&](auto done) { stream->Drain(std::move(done)); });
}

void PrefillLoad::Pace(int64_t tokens) {
  if (tokens_per_second_ <= 0) return;
  double begin;
  {
    absl::MutexLock lock(&mutex_);
    begin = std::max(next_, NowSeconds());
    next_ = begin + static_cast<double>(tokens) / tokens_per_second_;
  }
  absl::SleepFor(absl::Seconds(begin - NowSeconds()));
}

}  // namespace eidetic::bench
