// A hybrid model: Mamba-2 and attention layers over a Backend, by description.
//
// What: runs one step, a pass over a ragged batch of query chunks of different
//   sequences, at most one chunk a sequence. Written once; families are data.
// Thread safety: none: one thread calls Submit and Await in turn.
// Ownership: owns weights and activations; borrows the backend; borrows what a
//   StepChunk points to until Await returns. It does not publish: the caller does
//   after Await.
// Preconditions: every chunk's memory is working() and has room reserved.
#ifndef EIDETIC_ENGINE_LAYERS_HYBRID_MODEL_H_
#define EIDETIC_ENGINE_LAYERS_HYBRID_MODEL_H_

#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/backend/backend.h"
#include "engine/layers/model_adapter.h"
#include "engine/model/adapter_weights.h"
#include "engine/model/model_description.h"
#include "engine/model/weight_source.h"
#include "memory/session_memory.h"
#include "memory/span_settings.h"
#include "memory/token_log.h"

namespace eidetic {

// What a step computes from a chunk's output.
enum class ChunkOutput : uint8_t {
  kNone,    // only the session's memory advances
  kSample,  // the token after the chunk
  kScore,   // log-probabilities of given tokens
};

// One sequence's part of a step.
struct StepChunk {
  // The chunk's tokens. Empty: nothing is computed anew; the output comes from
  // the hidden state that the session's last chunk left in its slot.
  std::span<const memory::TokenId> tokens;
  memory::Position begin = 0;
  memory::TokenKind kind = memory::TokenKind::kAppended;
  memory::SessionMemory* memory = nullptr;
  memory::SpanSettings settings;
  const ModelAdapter* adapter = nullptr;  // null: the base model computes it

  ChunkOutput output = ChunkOutput::kNone;
  SampleRow sample;  // kSample
  // kScore: targets[r] is the token that follows row r; one a row, or exactly one
  // when `tokens` is empty. The last may be -1: unknown, not scored.
  std::span<const memory::TokenId> targets;
  int32_t top_logprobs = 0;  // kScore
  int64_t recomputed = 0;    // of its tokens, those that were computed before
  bool want_span = false;    // report the retrieved blocks and their softmax mass
};

// A retrieved block and the softmax mass it received: the mean over retrieving
// layers, KV heads and the chunk's rows; between 0 and 1.
struct SpanUse {
  memory::BlockIndex block = 0;
  double mass = 0;
};

struct ChunkResult {
  SampledToken sampled;              // kSample
  std::vector<SampledToken> scored;  // kScore, one a known target
  std::vector<SpanUse> span;         // ascending by block, each once
};

struct StepResult {
  // Not OK: the device was lost. Nothing of this step counts, and no later step will succeed.
  absl::Status status;
  std::vector<ChunkResult> chunks;  // in the order submitted
  RetrievalStats retrieval;
  // What chunks of generated tokens chose, one for a chunk and layer, of sessions that have pages
  // on the host. Names tables of the chunks' memories.
  std::vector<memory::ChosenBlocks> choices;
};

class HybridModel {
 public:
  // Reads config.json and the weights of `folder` onto `backend`. Errors: those of
  // ParseModelConfig and WeightFolder, with the field and the remedy.
  static absl::StatusOr<std::unique_ptr<HybridModel>> Load(const std::filesystem::path& folder,
                                                           Backend* backend);
  // The model of a config file with random weights (random_weights.h): for measurement, its
  // answers mean nothing. Errors: those of ParseModelConfigFile and RandomWeights.
  static absl::StatusOr<std::unique_ptr<HybridModel>> LoadRandom(
      const std::filesystem::path& config_file, uint64_t seed, Backend* backend);
  // From any weights; `description` is validated. Errors: those of `weights`.
  static absl::StatusOr<std::unique_ptr<HybridModel>> Load(ModelDescription description,
                                                           const WeightSource& weights,
                                                           Backend* backend);
  virtual ~HybridModel() = default;

  virtual const ModelDescription& description() const = 0;
  virtual const std::string& content_hash() const = 0;
  virtual int64_t parameter_count() const = 0;
  // The memory that sessions of this model need with blocks of `block_size` tokens.
  virtual memory::MemoryGeometry Geometry(int32_t block_size) const = 0;

  // Brings an adapter onto the backend; any number may be there. Not while a step is under way.
  // INVALID_ARGUMENT naming the tensor that does not fit the model; RESOURCE_EXHAUSTED.
  virtual absl::StatusOr<std::shared_ptr<const ModelAdapter>> LoadAdapter(
      const AdapterWeights& weights) = 0;

  // Takes a step; Await computes it, on the caller's thread: handing it to another and back costs
  // more than a small model's step can spare. One step may be under way at a time.
  virtual void Submit(std::vector<StepChunk> chunks) = 0;
  virtual StepResult Await() = 0;
};

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_LAYERS_HYBRID_MODEL_H_
