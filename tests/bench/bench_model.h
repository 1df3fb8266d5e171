// A model and its sessions for measurement, without engine, scheduler or server.
//
// What: steps sessions under a benchmark's control, and gives a session a history of real
//   keys without computing it.
// Thread safety: none. Ownership: owns model and memory, borrows the backend; sessions must go
//   first. Preconditions: the model folder or config is good (CHECKed).
#ifndef EIDETIC_TESTS_BENCH_BENCH_MODEL_H_
#define EIDETIC_TESTS_BENCH_BENCH_MODEL_H_

#include <filesystem>
#include <memory>
#include <span>
#include <vector>

#include "engine/backend/backend.h"
#include "engine/layers/hybrid_model.h"
#include "memory/session_memory.h"
#include "memory/span_settings.h"
#include "memory/token_log.h"
#include "tests/bench/replay_backend.h"

namespace eidetic::bench {

struct BenchSession {
  memory::SpanSettings settings;
  memory::TokenLog log;
  std::unique_ptr<memory::SessionMemory> memory;
  memory::TokenId next = 100;  // the token that the last step drew
  const ModelAdapter* adapter = nullptr;
};

class BenchModel {
 public:
  struct Options {
    std::filesystem::path model;  // a model folder, or a config.json: random weights
    int32_t max_pages = 1 << 16;
    int32_t max_host_pages = 0;
    int32_t max_promoted_pages = 0;
    int32_t max_state_slots = 8;
    int32_t block_tokens = 32;
    int32_t query_chunk_tokens = 512;
  };
  BenchModel(const Options& options, Backend* backend);

  // Adapters of random numbers, which live as long as the model.
  const ModelAdapter* AddRandomAdapter(int32_t rank, bool all_projections);
  BenchSession NewSession(const memory::SpanSettings& settings);
  // Computes `tokens` as the session's continuation.
  void Append(BenchSession* session, std::span<const memory::TokenId> tokens);
  // One step: the next query chunk of every session whose log is ahead of what is computed.
  // Whether there was one.
  bool Prefill(std::span<BenchSession> sessions);
  // Gives an empty session `tokens` tokens of past: real keys from `shift` on, in every layer;
  // its states stay as they are. From then on retrieval asks real queries.
  void Fill(BenchSession* session, const RealKeys& keys, int64_t tokens, int64_t shift);
  // What retrieval asks in the next step of `rows` sessions is on the device when this returns: a
  // step of a real model has no such work, so it stands apart from Decode.
  void NextQueries(int64_t rows);
  // One greedy token for each session.
  RetrievalStats Decode(std::span<BenchSession* const> sessions);
  // The same for sessions that stand in a row.
  RetrievalStats Decode(std::span<BenchSession> sessions);
  // Of the blocks that the exact rule would choose in `steps` further such steps, the share
  // that the sessions' rule chose; 0 where nothing is retrieved.
  double HitShare(std::span<BenchSession> sessions, int steps);

  const HybridModel& model() const { return *model_; }
  const memory::MemoryGeometry& geometry() const { return pool_->geometry(); }
  memory::MemoryPool& pool() { return *pool_; }
  Backend* backend() { return &backend_; }

 private:
  void AppendRows(BenchSession* session, const void* rows, int64_t begin, int64_t count);

  const Options options_;
  ReplayBackend backend_;
  std::unique_ptr<HybridModel> model_;
  std::vector<std::shared_ptr<const ModelAdapter>> adapters_;
  std::unique_ptr<memory::MemoryPool> pool_;
};

}  // namespace eidetic::bench

#endif  // EIDETIC_TESTS_BENCH_BENCH_MODEL_H_
