// One sequence with its pages, its index and a chunk at its end: what attention tables ask about.
//
// What: writes keys and values through AppendKv, then retrieves and attends. How pages and tiles
//   look inside is the backend's own affair; nothing here reads them but Pages.
// Thread safety: none. Ownership: the OpRun owns the memory; case and inputs are borrowed.
// Preconditions: as params.h says.
#ifndef EIDETIC_ENGINE_BACKEND_ATTENTION_SCENE_H_
#define EIDETIC_ENGINE_BACKEND_ATTENTION_SCENE_H_

#include <cstdint>
#include <set>
#include <vector>

#include "engine/backend/backend_fixture.h"

namespace eidetic {

struct AttentionCase {
  const char* name;
  int32_t q_heads = 6, kv_heads = 2, head_dim = 64, rotary_dim = 32, block_size = 32;
  int64_t context = 700;  // tokens before the chunk
  int64_t rows = 5;
  int32_t sinks = 1, span = 4;
  int64_t window = 256;
  bool remap = true;
  float sharpness = 1.0f;  // of the queries: from 4 on few tokens get nearly all the mass
  memory::RetrievalRule rule = memory::RetrievalRule::kTwoStage;
  int32_t first_candidates = 4, candidate_budget = 1000;
  int32_t scan_channels = 0;

  int64_t tokens() const { return context + rows; }
  int64_t query_width() const { return int64_t{q_heads} * head_dim; }
  int64_t kv_width() const { return int64_t{kv_heads} * head_dim; }
  float scale() const;
  // The window's first token, and the distant blocks [sinks, last_distant).
  int64_t window_begin() const;
  int32_t last_distant() const { return static_cast<int32_t>(window_begin() / block_size); }
};

struct SceneInputs {
  std::vector<float> keys, values;  // [tokens, kv_heads * head_dim]
  std::vector<float> queries;       // [rows, q_heads * head_dim]
};

class Scene {
 public:
  // Blocks take other pages in every round: a replayed step must read the page table.
  Scene(const AttentionCase& c, const SceneInputs& in, uint64_t round, OpRun& run);

  // Every page's bytes as float32. Only for pages in the host's layout.
  std::vector<float> Pages();
  // [kv_heads][span]; leaves them in the backend's memory for Attend.
  std::vector<int32_t> Retrieve(RetrievalStats* stats, std::vector<LateBlock>* late = nullptr);
  // From now on these blocks, and no others, have no page yet.
  void SetLate(const std::set<int32_t>& blocks);
  // Attends to these instead.
  void SetBlocks(const std::vector<int32_t>& blocks) { blocks_ = run_.Ints(blocks); }
  // Outputs, then the span's mass.
  std::vector<float> Attend();

  // The parts of both operations' params, to put them together for a batch of scenes.
  AttentionChunk Chunk(int64_t row_begin) const;
  RetrievalRequest ToRetrieve(int32_t chunk) const;
  SpanAttentionRequest ToAttend(int32_t chunk, int32_t span_row, float* mass) const;
  const memory::PageLayout& layout() const { return layout_; }

 private:
  AttentionChunk ChunkOf(int64_t begin, int64_t end) const;
  void Append(int64_t begin, int64_t end);

  const AttentionCase& c_;
  const SceneInputs& in_;
  OpRun& run_;
  memory::PageLayout layout_;
  memory::SummaryKind summary_;
  std::vector<void*> pages_;  // by block
  void* const* page_table_ = nullptr;
  void* const* tile_table_ = nullptr;
  const void* q_ = nullptr;
  int64_t q_stride_ = 0;
  int32_t* blocks_ = nullptr;
};

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_BACKEND_ATTENTION_SCENE_H_
