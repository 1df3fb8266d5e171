// A model for tests: what it draws is a hash of all tokens, chunk borders and settings so far.
//
// What: keeps its hash in the session's state slot, as a real model keeps its state,
//   so forks, abandoned steps and cuts show up in the tokens that it draws. Fills pages and
//   index too. CHECKs that chunks come in order, into memory that is working, reserved and indexed
//   as they need, and that every byte of the past's pages and index is what the session's own
//   tokens left there.
// Thread safety: the controls are thread-safe; the rest as HybridModel.
// Ownership: none beyond values. Preconditions: as HybridModel; CHECKed.
#ifndef EIDETIC_ENGINE_FAKE_MODEL_H_
#define EIDETIC_ENGINE_FAKE_MODEL_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "engine/layers/hybrid_model.h"
#include "memory/token_log.h"

namespace eidetic {

class FakeModel : public HybridModel {
 public:
  // The token at `position` after a past with this hash. Default: a small letter.
  using Draw = std::function<memory::TokenId(uint64_t hash, memory::Position position)>;
  explicit FakeModel(int32_t vocab_size, Draw draw = nullptr);

  const ModelDescription& description() const override { return description_; }
  const std::string& content_hash() const override { return content_hash_; }
  int64_t parameter_count() const override { return 1; }
  memory::MemoryGeometry Geometry(int32_t block_size) const override;
  // Takes any weights: their hash is all that it computes with.
  absl::StatusOr<std::shared_ptr<const ModelAdapter>> LoadAdapter(
      const AdapterWeights& weights) override;
  void Submit(std::vector<StepChunk> chunks) override;
  StepResult Await() override;

  // What a score says of `token` after `past`, all of it computed with `settings`.
  static float LogprobAfter(const memory::TokenLog& past, int32_t query_chunk_tokens,
                            const memory::SpanSettings& settings, memory::TokenId token);

  // Controls. After Hold steps wait until Allow has let them through, or Release.
  void Hold();
  void Allow(int64_t steps);
  void Release();
  // From now on every logit is NaN.
  void Break();

  struct SeenChunk {
    memory::Position begin = 0;
    int64_t tokens = 0;
    memory::TokenKind kind = memory::TokenKind::kAppended;
    ChunkOutput output = ChunkOutput::kNone;
  };
  // The batches of all steps so far, without chunks that wanted late pages.
  std::vector<std::vector<SeenChunk>> steps() const;

 private:
  ChunkResult Compute(const StepChunk& chunk) const;
  void WaitForPermit();

  ModelDescription description_;
  const std::string content_hash_ = "fake";
  const Draw draw_;
  mutable int32_t block_size_ = 0;  // that the engine asked the geometry for
  std::vector<StepChunk> submitted_;

  mutable absl::Mutex mutex_;
  std::vector<std::vector<SeenChunk>> steps_ ABSL_GUARDED_BY(mutex_);
  bool held_ ABSL_GUARDED_BY(mutex_) = false;
  bool broken_ ABSL_GUARDED_BY(mutex_) = false;
  int64_t permits_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_FAKE_MODEL_H_
