// Runs a model step by step under a test's full control, and shows its logits.
//
// What: sessions over a backend without engine, scheduler or server, so that a
//   test decides which chunks of which sessions share a step.
// Thread safety: none. Ownership: owns backend, model and memory; sessions must go first.
// Preconditions: the model folder is good (CHECKed).
#ifndef EIDETIC_TESTS_CONFORMANCE_MODEL_RUNNER_H_
#define EIDETIC_TESTS_CONFORMANCE_MODEL_RUNNER_H_

#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/backend/backend.h"
#include "engine/layers/hybrid_model.h"
#include "memory/host_arena.h"
#include "memory/session_memory.h"
#include "memory/span_settings.h"
#include "memory/token_log.h"
#include "tests/conformance/recording_backend.h"

namespace eidetic {

// One session's log and memory; `logits` of its newest token.
struct TestSession {
  memory::SpanSettings settings;
  memory::TokenLog log;
  std::unique_ptr<memory::SessionMemory> memory;
  std::vector<float> logits;
  std::shared_ptr<const ModelAdapter> adapter;  // null: the base model
};

class ModelRunner {
 public:
  struct Options {
    int32_t threads = 2;         // of the CPU backend
    std::string device = "cpu";  // as BackendOptions
    bool float32 = false;        // on a GPU: compute in float32
    bool batch_invariant = false;
    bool bf16_state = false;
    int32_t block_tokens = 32;
    int32_t query_chunk_tokens = 512;
    int32_t max_pages = 1 << 14;
    // Pages in a second tier: the device's pinned memory, on the CPU just other memory.
    int32_t max_host_pages = 0;
    int32_t max_promoted_pages = memory::MemoryLimits().max_promoted_pages;
  };
  explicit ModelRunner(const std::filesystem::path& folder) : ModelRunner(folder, Options()) {}
  ModelRunner(const std::filesystem::path& folder, const Options& options);

  // Of a folder in PEFT's form.
  std::shared_ptr<const ModelAdapter> LoadAdapter(const std::filesystem::path& folder);
  TestSession NewSession(const memory::SpanSettings& settings);
  TestSession Fork(const TestSession& parent);
  // With other settings for what is computed from now on.
  TestSession Fork(const TestSession& parent, const memory::SpanSettings& settings);

  // One step: the next chunk of each session that has uncomputed tokens.
  RetrievalStats Step(std::span<TestSession* const> sessions);
  // Computes everything in the log, alone.
  void Drain(TestSession* session);
  // Appends, computes alone, and gives the logits of every one of `tokens`' positions.
  std::vector<std::vector<float>> Append(TestSession* session,
                                         std::span<const memory::TokenId> tokens);
  // Draws `count` tokens greedily, alone; logits of the drawn ones' positions if wanted.
  std::vector<memory::TokenId> Greedy(TestSession* session, int32_t count,
                                      std::vector<std::vector<float>>* logits = nullptr);

  const HybridModel& model() const { return *model_; }
  memory::MemoryPool& pool() { return *pool_; }

 private:
  Options options_;
  std::unique_ptr<Backend> computing_;
  RecordingBackend backend_;
  std::unique_ptr<HybridModel> model_;
  memory::HostArena host_arena_{size_t{1} << 30};
  std::unique_ptr<memory::MemoryPool> pool_;
};

// The settings that make attention exact over everything.
memory::SpanSettings FullAttention();

// The largest |a - b| over the largest |b|.
double RelativeError(std::span<const float> a, std::span<const float> b);

}  // namespace eidetic

#endif  // EIDETIC_TESTS_CONFORMANCE_MODEL_RUNNER_H_
