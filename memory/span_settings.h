// How a session attends to its past: the parameters of SE-Attn.
//
// Thread safety: plain values. Ownership: none.
// Preconditions: Validate accepts what the rest of the code is given.
// Source: Span-Expanded Attention, arXiv 2412.13328; the defaults were measured.
#ifndef EIDETIC_MEMORY_SPAN_SETTINGS_H_
#define EIDETIC_MEMORY_SPAN_SETTINGS_H_

#include <cstdint>

#include "absl/status/status.h"
#include "memory/span_rules.h"

namespace eidetic::memory {

struct SpanSettings {
  AttentionPolicy policy = AttentionPolicy::kSeAttn;
  RetrievalRule rule = RetrievalRule::kTwoStage;
  int32_t window_tokens = 512;  // W
  int32_t span_blocks = 8;      // k
  int32_t sink_blocks = 1;
  int32_t first_candidates = 256;   // two-stage: blocks re-ranked before the first proof
  int32_t candidate_budget = 256;   // two-stage: blocks re-ranked at most
  int32_t scan_channels = 0;        // two-stage, by codes: channels of a first partial scan, those
                                    // where the query is largest; 0: all (SparQ, arXiv 2312.04985)
  bool remap_positions = true;      // span and sinks stand right before the window
  bool retrieve_in_prefill = true;  // appended chunks retrieve too
  friend bool operator==(const SpanSettings&, const SpanSettings&) = default;
};

// The defaults where the two-stage rule bounds blocks by `bounding`. Bounds rank blocks badly, so
// many are re-ranked, and proofs are out of reach on long texts. Codes rank well and prove: the
// best 96 hold the exact choice, and reading on to 1,024 proves nearly every one.
SpanSettings DefaultSpanSettings(SummaryKind bounding);

// The index that a session of these settings reads: none unless it retrieves.
SummaryKind SummaryFor(const SpanSettings& settings, SummaryKind bounding);

inline constexpr int32_t kMaxWindowTokens = 1 << 20;
inline constexpr int32_t kMaxSpanBlocks = 1 << 16;
inline constexpr int32_t kMaxSinkBlocks = 1 << 10;
inline constexpr int32_t kMaxCandidateBudget = 1 << 24;
inline constexpr int32_t kMaxScanChannels = 1 << 12;

// INVALID_ARGUMENT naming the field and its range. With re-mapped positions the
// farthest distance, (k + sinks) * S + W + S + C, must fit `trained_context`.
absl::Status Validate(const SpanSettings& settings, int32_t block_size, int32_t query_chunk_tokens,
                      int32_t trained_context);

}  // namespace eidetic::memory

#endif  // EIDETIC_MEMORY_SPAN_SETTINGS_H_
