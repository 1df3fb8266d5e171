// Engines one after the other over one loaded model, each as a server's after a restart.
//
// What: a model's weights are loaded once; journal, extents and memory are opened anew by every
//   Start, with room for one session of a given length.
// Thread safety: none; one engine at a time. Ownership: owns the model; borrows backend and
//   observer. Preconditions: CHECKed.
#ifndef EIDETIC_TESTS_BENCH_ENGINE_STARTER_H_
#define EIDETIC_TESTS_BENCH_ENGINE_STARTER_H_

#include <cstdint>
#include <filesystem>
#include <memory>

#include "engine/backend/backend.h"
#include "engine/engine.h"
#include "engine/layers/hybrid_model.h"

namespace eidetic::bench {

class EngineStarter {
 public:
  struct Options {
    std::filesystem::path model;      // a folder, or a config.json: random weights
    std::filesystem::path tokenizer;  // of a config.json: folder of any model
    Backend* backend = nullptr;
    EngineObserver* observer = nullptr;
  };
  explicit EngineStarter(const Options& options);

  // Where the distant blocks of its session find room.
  enum class Room : uint8_t { kDevice, kHost };
  // What a session of `tokens` with the default settings takes, and a little more.
  std::unique_ptr<Engine> Start(const std::filesystem::path& data_folder, int64_t tokens,
                                Room room) const;

  HybridModel& model() const { return *model_; }
  memory::SpanSettings settings() const;

 private:
  EngineLimits LimitsFor(int64_t tokens, Room room) const;

  const Options options_;
  const std::unique_ptr<HybridModel> model_;
};

}  // namespace eidetic::bench

#endif  // EIDETIC_TESTS_BENCH_ENGINE_STARTER_H_
