#include "tests/bench/real_keys.h"

#include <glog/logging.h>

#include <algorithm>

#include "engine/text/tokenizer.h"
#include "tests/bench/bench_model.h"
#include "tests/bench/capturing_backend.h"

namespace eidetic::bench {
namespace {

// Tokens between the places that neighbouring heads read: no multiple of a block.
constexpr int64_t kHeadShift = 1009;
// Which of the demo model's two attention layers retrieves.
constexpr int32_t kRetrievingLayer = 1;

std::vector<memory::TokenId> TextTokens(const std::filesystem::path& folder,
                                        const std::string& text, int64_t count) {
  auto tokenizer = Tokenizer::Load(folder);
  CHECK(tokenizer.ok()) << tokenizer.status();
  // About three bytes a token; more is not read.
  const std::string part = text.substr(0, static_cast<size_t>(count) * 6);
  auto once = (*tokenizer)->Encode(part, /*parse_special=*/false);
  CHECK(once.ok()) << once.status();
  CHECK(!once->empty());
  std::vector<memory::TokenId> tokens;
  while (static_cast<int64_t>(tokens.size()) < count) {
    const size_t more = std::min<size_t>(once->size(), count - tokens.size());
    tokens.insert(tokens.end(), once->begin(), once->begin() + more);
  }
  return tokens;
}

}  // namespace

void RealKeys::KeyRow(int64_t token, int32_t heads, int32_t head_dim, memory::Bf16* row) const {
  const int32_t pieces = head_dim / kHeadDim;
  for (int32_t h = 0; h < heads; ++h) {
    const memory::Bf16* at =
        keys.data() + (token + h * kHeadShift) % tokens() * kKvHeads * kHeadDim;
    // One piece: the heads in turn; two: both side by side.
    const int32_t first = pieces == 1 ? h % kKvHeads : 0;
    row = std::copy_n(at + first * kHeadDim, head_dim, row);
  }
}

void RealKeys::QueryRow(int64_t step, int32_t heads, int32_t head_dim, memory::Bf16* row) const {
  const memory::Bf16* at = queries.data() + step % steps() * kQueryHeads * kHeadDim;
  const int32_t group = kQueryHeads / kKvHeads;
  for (int32_t h = 0; h < heads; ++h) {
    if (head_dim == kHeadDim) {
      row = std::copy_n(at + h % kQueryHeads * kHeadDim, kHeadDim, row);
      continue;
    }
    for (int32_t piece = 0; piece < kKvHeads; ++piece) {
      row = std::copy_n(at + (piece * group + h % group) * kHeadDim, kHeadDim, row);
    }
  }
}

RealKeys ReadRealKeys(Backend* backend, const std::filesystem::path& folder,
                      const std::string& text, int64_t tokens, int32_t steps) {
  CHECK_EQ(backend->activation_bytes(), sizeof(memory::Bf16)) << "use the device in bf16";
  CapturingBackend capturing(backend, kRetrievingLayer, RealKeys::kQueryHeads * RealKeys::kHeadDim,
                             RealKeys::kKvHeads * RealKeys::kHeadDim);
  BenchModel model({.model = folder, .max_pages = static_cast<int32_t>(tokens / 16 + 1024)},
                   &capturing);
  memory::SpanSettings settings;
  settings.retrieve_in_prefill = false;
  BenchSession session = model.NewSession(settings);
  model.Append(&session, TextTokens(folder, text, tokens));
  RealKeys real;
  real.keys = capturing.TakeKeys();
  for (int32_t i = 0; i < steps; ++i) model.Decode({&session, 1});
  real.queries = capturing.TakeQueries();
  CHECK_EQ(real.tokens(), tokens);
  CHECK_EQ(real.steps(), steps);
  return real;
}

}  // namespace eidetic::bench
