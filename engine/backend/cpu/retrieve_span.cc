#include "engine/backend/cpu/retrieve_span.h"

#include <glog/logging.h>

#include <algorithm>
#include <chrono>
#include <utility>

namespace eidetic::cpu {
namespace {

struct Outcome {
  int64_t candidates_read = 0;
  bool proven = false;
  std::vector<memory::BlockIndex> late;
};

// The queries of one chunk and KV head, [row][query head of the group][head_dim].
void GatherQueries(const RetrieveSpanParams& params, const AttentionChunk& chunk, int64_t kv_head,
                   std::vector<float>* queries) {
  const int64_t width = int64_t{params.q_heads / params.layout.kv_heads} * params.layout.head_dim;
  queries->resize(chunk.row_count * width);
  for (int64_t row = 0; row < chunk.row_count; ++row) {
    const float* q =
        static_cast<const float*>(params.q) + (chunk.row_begin + row) * params.q_stride;
    std::copy_n(q + kv_head * width, width, queries->data() + row * width);
  }
}

Outcome Choose(const RetrieveSpanParams& params, int64_t request_index, int32_t kv_head,
               RetrievalScratch* scratch) {
  const RetrievalRequest& request = params.requests[request_index];
  const AttentionChunk& chunk = params.chunks[request.chunk];
  GatherQueries(params, chunk, kv_head, &scratch->queries);
  const int32_t group = params.q_heads / params.layout.kv_heads;
  memory::SpanChoice choice =
      memory::ChooseSpan(params.layout,
                         {.queries = scratch->queries.data(),
                          .query_count = static_cast<int32_t>(chunk.row_count * group),
                          .pages = chunk.pages,
                          .tiles = chunk.tiles,
                          .summary = chunk.summary,
                          .kv_head = kv_head,
                          .first = request.first,
                          .last = request.last,
                          .rule = request.rule,
                          .span_blocks = request.span_blocks,
                          .first_candidates = request.first_candidates,
                          .candidate_budget = request.candidate_budget},
                         &scratch->span);
  CHECK_LE(choice.blocks.size(), static_cast<size_t>(params.max_span));
  int32_t* out =
      params.blocks + (request_index * params.layout.kv_heads + kv_head) * params.max_span;
  for (memory::BlockIndex& block : choice.blocks) {
    if (chunk.pages[block] != nullptr) continue;
    choice.late.push_back(block);
    CHECK(chunk.pages[request.first] != nullptr) << "a session's first distant block is never late";
    block = request.first;
  }
  int32_t* end = std::copy(choice.blocks.begin(), choice.blocks.end(), out);
  std::fill(end, out + params.max_span, -1);
  return {choice.candidates_read, choice.proven, std::move(choice.late)};
}

}  // namespace

void RetrieveSpan(const RetrieveSpanParams& params, std::vector<RetrievalScratch>* scratch,
                  ThreadPool* pool) {
  const auto begin = std::chrono::steady_clock::now();
  const int64_t heads = params.layout.kv_heads;
  std::vector<Outcome> outcomes(params.requests.size() * heads);
  pool->ParallelFor(static_cast<int64_t>(outcomes.size()), [&](int64_t item, int worker) {
    outcomes[item] =
        Choose(params, item / heads, static_cast<int32_t>(item % heads), &(*scratch)[worker]);
  });
  for (size_t item = 0; item < outcomes.size(); ++item) {
    for (memory::BlockIndex block : outcomes[item].late) {
      CHECK(params.late != nullptr) << "block " << block << " has no page";
      params.late->push_back({params.requests[item / heads].chunk, block});
    }
  }
  if (params.stats == nullptr) return;
  for (const Outcome& outcome : outcomes) {
    params.stats->candidates_read += outcome.candidates_read;
    params.stats->choices += 1;
    params.stats->proven += outcome.proven ? 1 : 0;
  }
  params.stats->seconds +=
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

}  // namespace eidetic::cpu
