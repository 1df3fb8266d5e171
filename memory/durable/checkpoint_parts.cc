#include "memory/durable/checkpoint_parts.h"

#include <limits>

namespace eidetic::memory {
namespace {

constexpr uint64_t kMaxInt32 = std::numeric_limits<int32_t>::max();
constexpr uint64_t kMaxInt64 = std::numeric_limits<int64_t>::max();
constexpr uint64_t kMaxUint8 = std::numeric_limits<uint8_t>::max();
constexpr uint64_t kLeastRefBytes = 4 + sizeof(uint64_t);  // four varints and the checksum

}  // namespace

void Write(const CheckpointBinding& binding, RecordWriter& to) {
  to.String(binding.model_hash);
  to.String(binding.adapter);
  to.Varint(binding.block_tokens);
  to.Varint(binding.head_dim);
  to.Varint(binding.kv_heads);
  to.Varint(binding.attention_layers);
  to.Varint(binding.kv_element_bytes);
  to.Varint(binding.state_bytes);
  to.Varint(binding.summary_kind);
  to.String(binding.page_form);
  to.String(binding.build);
  to.String(binding.device_kind);
}

void Read(RecordReader& from, CheckpointBinding& binding) {
  binding.model_hash = from.String();
  binding.adapter = from.String();
  binding.block_tokens = from.AtMost(kMaxInt32);
  binding.head_dim = from.AtMost(kMaxInt32);
  binding.kv_heads = from.AtMost(kMaxInt32);
  binding.attention_layers = from.AtMost(kMaxInt32);
  binding.kv_element_bytes = from.AtMost(kMaxUint8);
  binding.state_bytes = from.AtMost(kMaxInt64);
  binding.summary_kind = from.AtMost(kMaxUint8);
  binding.page_form = from.String();
  binding.build = from.String();
  binding.device_kind = from.String();
}

void Write(const ExtentRef& ref, RecordWriter& to) {
  to.Varint(ref.file);
  to.Varint(ref.offset);
  to.Varint(ref.bytes);
  to.Varint(static_cast<uint64_t>(ref.kind));
  to.Fixed64(ref.checksum);
}

void Read(RecordReader& from, ExtentRef& ref) {
  ref.file = from.Varint();
  ref.offset = from.AtMost(kMaxInt64);
  ref.bytes = from.AtMost(kMaxInt64);
  ref.kind = static_cast<ExtentKind>(from.AtMost(kMaxUint8));
  ref.checksum = from.Fixed64();
}

void Write(std::span<const ExtentRef> refs, RecordWriter& to) {
  to.Varint(refs.size());
  for (const ExtentRef& ref : refs) Write(ref, to);
}

void Read(RecordReader& from, std::vector<ExtentRef>& refs) {
  const uint64_t count = from.Count(kLeastRefBytes);
  for (uint64_t i = 0; i < count && from.ok(); ++i) Read(from, refs.emplace_back());
}

void Write(const ExtentLists& lists, int64_t first, int64_t last, RecordWriter& to) {
  to.Varint(lists.size());
  for (const std::vector<ExtentRef>& list : lists) {
    Write(std::span(list).subspan(first, last - first), to);
  }
}

void Read(RecordReader& from, ExtentLists& layers) {
  const uint64_t count = from.Count(1);
  if (layers.empty()) layers.resize(count);
  for (uint64_t i = 0; i < count && from.ok(); ++i) {
    std::vector<ExtentRef> other;
    Read(from, i < layers.size() ? layers[i] : other);
  }
}

void Write(const std::vector<StateExtent>& points, RecordWriter& to) {
  to.Varint(points.size());
  for (const StateExtent& point : points) {
    to.Varint(point.position);
    Write(point.state, to);
  }
}

void Read(RecordReader& from, std::vector<StateExtent>& points) {
  points.resize(from.Count(1 + kLeastRefBytes));
  for (StateExtent& point : points) {
    point.position = from.AtMost(kMaxInt64);
    Read(from, point.state);
  }
}

}  // namespace eidetic::memory
