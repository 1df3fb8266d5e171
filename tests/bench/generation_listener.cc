#include "tests/bench/generation_listener.h"

#include <glog/logging.h>

#include <utility>
#include <variant>

#include "tests/bench/measure.h"

namespace eidetic::bench {

std::shared_ptr<GenerationListener> GenerationListener::Start(Engine* engine, GenerateSpec spec) {
  std::shared_ptr<GenerationListener> listener(new GenerationListener);
  engine->Generate(std::move(spec), [listener](auto reader) {
    CHECK(reader.ok()) << reader.status();
    listener->reader_ = *std::move(reader);
    listener->Drain();
  });
  return listener;
}

void GenerationListener::Drain() {
  while (const std::optional<GenerationEvent> event = reader_->TryNext()) {
    if (const auto* error = std::get_if<absl::Status>(&*event)) LOG(FATAL) << *error;
    if (std::holds_alternative<TokenEvent>(*event)) times_.push_back(NowSeconds());
    if (!std::holds_alternative<GenerationFinish>(*event)) continue;
    reader_.reset();
    ended_.Notify();
    return;
  }
  reader_->NotifyWhenReady([self = shared_from_this()] { self->Drain(); });
}

std::vector<std::shared_ptr<GenerationListener>> RunAll(Engine* engine,
                                                        std::vector<GenerateSpec> specs) {
  std::vector<std::shared_ptr<GenerationListener>> listeners;
  for (GenerateSpec& spec : specs) {
    listeners.push_back(GenerationListener::Start(engine, std::move(spec)));
  }
  for (const auto& listener : listeners) listener->WaitForEnd();
  return listeners;
}

}  // namespace eidetic::bench
