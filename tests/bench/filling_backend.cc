#include "tests/bench/filling_backend.h"

#include <glog/logging.h>

#include <utility>
#include <vector>

namespace eidetic::bench {

void FillingBackend::TakeKeys(const RealKeys& keys, int32_t kv_heads, int32_t head_dim) {
  CHECK_EQ(activation_bytes(), sizeof(memory::Bf16)) << "use the device in bf16";
  Drop();
  tokens_ = keys.tokens();
  width_ = int64_t{kv_heads} * head_dim;
  std::vector<memory::Bf16> rows(tokens_ * width_);
  for (int64_t token = 0; token < tokens_; ++token) {
    keys.KeyRow(token, kv_heads, head_dim, rows.data() + token * width_);
  }
  auto buffer = arena()->Allocate(rows.size() * sizeof(memory::Bf16));
  CHECK(buffer.ok()) << buffer.status();
  rows_ = *buffer;
  arena()->CopyFromHost(rows_, rows.data(), rows.size() * sizeof(memory::Bf16));
}

void FillingBackend::Fill(bool fill) {
  CHECK(!fill || rows_ != nullptr) << "there are no keys to fill with";
  fills_ = fill;
}

void FillingBackend::AppendKv(const AppendKvParams& p) {
  if (!fills_) return backend_->AppendKv(p);
  CHECK_EQ(int64_t{p.layout.kv_heads} * p.layout.head_dim, width_);
  for (const AttentionChunk& from : p.chunks) {
    const int64_t first = from.begin % tokens_;
    CHECK_LE(first + from.row_count, tokens_) << "a chunk reaches past the last key";
    AttentionChunk& chunk = chunks_.emplace_back(from);
    chunk.row_begin = 0;
    const void* const rows = static_cast<const memory::Bf16*>(rows_) + first * width_;
    backend_->AppendKv(
        {.k = rows, .v = rows, .kv_stride = width_, .layout = p.layout, .chunks = {&chunk, 1}});
  }
}

absl::Status FillingBackend::Synchronize() {
  absl::Status status = backend_->Synchronize();
  chunks_.clear();
  return status;
}

void FillingBackend::Drop() {
  if (rows_ == nullptr) return;
  arena()->Free(std::exchange(rows_, nullptr), tokens_ * width_ * sizeof(memory::Bf16));
}

}  // namespace eidetic::bench
