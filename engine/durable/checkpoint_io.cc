#include "engine/durable/checkpoint_io.h"

#include <utility>
#include <vector>

#include "memory/durable/fail_point.h"

namespace eidetic {
namespace {

using memory::ExtentKind;
using memory::ExtentRef;
using memory::SessionImage;
using Refs = std::vector<std::vector<ExtentRef>>;

class Writer {
 public:
  Writer(memory::ExtentStore* store, const std::atomic<bool>& stop) : store_(store), stop_(stop) {}
  // What was appended is given back, unless Keep was called.
  ~Writer() {
    for (const ExtentRef& ref : appended_) store_->Release(ref);
  }

  absl::Status Write(ExtentKind kind, const std::vector<SessionImage::Layer>& layers,
                     const Refs* base, Refs* to) {
    for (size_t i = 0; i < layers.size(); ++i) {
      std::vector<ExtentRef>& refs = to->emplace_back();
      const int64_t first = layers[i].range.first;
      if (first > 0) refs.assign((*base)[i].begin(), (*base)[i].begin() + first);
      reused_.insert(reused_.end(), refs.begin(), refs.end());
      std::vector<std::byte> bytes(layers[i].bytes);
      for (int64_t part = first; part < layers[i].range.end; ++part) {
        SessionImage::Read(layers[i], part, bytes);
        absl::StatusOr<ExtentRef> ref = Append(kind, bytes);
        if (!ref.ok()) return ref.status();
        refs.push_back(*ref);
      }
    }
    return absl::OkStatus();
  }

  absl::StatusOr<ExtentRef> Append(ExtentKind kind, std::span<const std::byte> bytes) {
    if (stop_) return absl::CancelledError("the server ends");
    absl::StatusOr<ExtentRef> ref = store_->Append(kind, bytes);
    if (ref.ok()) appended_.push_back(*ref);
    return ref;
  }

  void Keep() {
    for (const ExtentRef& ref : reused_) store_->AddReference(ref);
    appended_.clear();
  }

 private:
  memory::ExtentStore* const store_;
  const std::atomic<bool>& stop_;
  std::vector<ExtentRef> appended_, reused_;
};

absl::Status Read(const memory::ExtentStore& store, const Refs& layers, int64_t count,
                  const std::atomic<bool>& stop, const auto& take) {
  std::vector<std::byte> bytes;
  for (size_t layer = 0; layer < layers.size(); ++layer) {
    for (int64_t i = 0; i < count; ++i) {
      if (stop) return absl::CancelledError("the server ends");
      const ExtentRef& ref = layers[layer][i];
      bytes.resize(ref.bytes);
      if (absl::Status status = store.Read(ref, bytes); !status.ok()) return status;
      take(static_cast<int64_t>(layer), i, std::span<const std::byte>(bytes));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<memory::CheckpointManifest> WriteExtents(memory::ExtentStore* store,
                                                        const SessionImage& image,
                                                        const memory::CheckpointManifest* base,
                                                        memory::CheckpointBinding binding,
                                                        const std::atomic<bool>& stop) {
  memory::CheckpointManifest manifest;
  manifest.binding = std::move(binding);
  manifest.binding.summary_kind = static_cast<uint8_t>(image.summary());
  manifest.position = image.position();
  Writer writer(store, stop);
  memory::FailPoint("checkpoint.before_extents");
  absl::Status status = writer.Write(ExtentKind::kPage, image.pages(),
                                     base == nullptr ? nullptr : &base->pages, &manifest.pages);
  if (status.ok()) {
    status = writer.Write(ExtentKind::kTile, image.tiles(),
                          base == nullptr ? nullptr : &base->tiles, &manifest.tiles);
  }
  if (!status.ok()) return status;
  absl::StatusOr<ExtentRef> state = writer.Append(ExtentKind::kState, image.state());
  if (!state.ok()) return state.status();
  manifest.state = *state;
  if (status = store->Sync(); !status.ok()) return status;
  memory::FailPoint("checkpoint.after_extents");
  writer.Keep();
  return manifest;
}

absl::Status ReadExtents(const memory::ExtentStore& store,
                         const memory::CheckpointManifest& manifest, memory::SessionLoad* load,
                         const std::atomic<bool>& stop) {
  std::vector<std::byte> state(manifest.state.bytes);
  absl::Status status = store.Read(manifest.state, state);
  if (!status.ok()) return status;
  load->WriteState(state);
  status = Read(
      store, manifest.tiles, load->tiles(), stop,
      [load](int64_t layer, int64_t tile, auto bytes) { load->WriteTile(layer, tile, bytes); });
  if (!status.ok()) return status;
  return Read(
      store, manifest.pages, load->blocks(), stop,
      [load](int64_t layer, int64_t block, auto bytes) { load->WritePage(layer, block, bytes); });
}

}  // namespace eidetic
