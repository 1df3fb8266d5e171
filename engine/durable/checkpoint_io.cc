#include "engine/durable/checkpoint_io.h"

#include <algorithm>
#include <map>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "engine/durable/read_ahead.h"
#include "memory/durable/fail_point.h"
#include "memory/state_points.h"

namespace eidetic {
namespace {

using memory::CheckpointManifest;
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

  void Reuse(const ExtentRef& ref) { reused_.push_back(ref); }

  void Keep() {
    for (const ExtentRef& ref : reused_) store_->AddReference(ref);
    appended_.clear();
  }

 private:
  memory::ExtentStore* const store_;
  const std::atomic<bool>& stop_;
  std::vector<ExtentRef> appended_, reused_;
};

// The states of past positions, those of the base and the image's, as many as are kept.
absl::Status WritePoints(const SessionImage& image, const CheckpointBase& base, Writer* writer,
                         CheckpointManifest* manifest) {
  std::map<memory::Position, const ExtentRef*> states;  // null: the image's
  std::map<memory::Position, memory::StatePointPtr> fresh;
  for (const memory::StatePointPtr& point : image.points()) {
    fresh[point->position] = point;
    states[point->position] = nullptr;
  }
  if (base.manifest != nullptr) {
    for (const memory::StateExtent& point : base.manifest->points) {
      states[point.position] = &point.state;
    }
    states[base.manifest->position] = &base.manifest->state;
    states.erase(states.upper_bound(base.shared), states.end());
    for (const auto& [position, point] : fresh) states.emplace(position, nullptr);
  }
  states.erase(states.lower_bound(manifest->position), states.end());
  states.erase(states.begin(), states.upper_bound(0));
  std::vector<memory::Position> positions;
  for (const auto& [position, ref] : states) positions.push_back(position);
  while (positions.size() > base.max_points) {
    positions.erase(positions.begin() +
                    static_cast<std::ptrdiff_t>(memory::LeastMissed(positions)));
  }
  for (memory::Position position : positions) {
    if (const ExtentRef* kept = states.at(position); kept != nullptr) {
      writer->Reuse(*kept);
      manifest->points.push_back({position, *kept});
      continue;
    }
    absl::StatusOr<ExtentRef> ref = writer->Append(ExtentKind::kState, fresh.at(position)->bytes);
    if (!ref.ok()) return ref.status();
    manifest->points.push_back({position, *ref});
  }
  return absl::OkStatus();
}

// Names of blocks that the base has in pieces stay there; what is whole now gets pieces.
absl::Status WritePieces(const SessionImage& image, const CheckpointManifest* base, Writer* writer,
                         CheckpointManifest* manifest) {
  int64_t kept = 0;
  if (base != nullptr && !image.pages().empty()) {
    kept = image.pages()[0].range.first / memory::kPieceBlocks;
    const bool indexed = !image.tiles().empty() && image.tiles()[0].range.end > 0;
    if (indexed) kept = std::min(kept, image.tiles()[0].range.first / memory::kPieceTiles);
    if (!indexed && !base->tiles.empty() && !base->tiles[0].empty()) kept = 0;
  }
  int64_t count = manifest->WholePieces();
  for (size_t level = 0; count > 0; ++level) {
    std::vector<ExtentRef>& pieces = manifest->pieces.emplace_back();
    const int64_t old = base != nullptr && level < base->pieces.size()
                            ? static_cast<int64_t>(base->pieces[level].size())
                            : 0;
    kept = std::min({kept, old, count});
    for (int64_t i = 0; i < count; ++i) {
      if (i < kept) {
        writer->Reuse(base->pieces[level][i]);
        pieces.push_back(base->pieces[level][i]);
        continue;
      }
      const std::string bytes = manifest->EncodePiece(level, i);
      absl::StatusOr<ExtentRef> ref =
          writer->Append(ExtentKind::kManifest, std::as_bytes(std::span(bytes)));
      if (!ref.ok()) return ref.status();
      manifest->pieces[level].push_back(*ref);
    }
    count /= memory::kPieceFanout;
    kept /= memory::kPieceFanout;
  }
  return absl::OkStatus();
}

// Of each layer the first `count` that `skip` does not leave out.
absl::Status Read(const memory::ExtentStore& store, const Refs& layers, int64_t count,
                  const std::atomic<bool>& stop, const auto& skip, const auto& take) {
  struct Place {
    int64_t layer = 0, i = 0;
  };
  Place at;
  const auto next = [&]() -> std::optional<Place> {
    for (; at.layer < std::ssize(layers); at = {at.layer + 1, 0}) {
      while (at.i < count && skip(at.i)) ++at.i;
      if (at.i < count) return Place{at.layer, at.i++};
    }
    return std::nullopt;
  };
  const auto ref_of = [&](const Place& place) -> const ExtentRef& {
    return layers[place.layer][place.i];
  };
  ReadAhead<Place> ahead(&store, next, ref_of);
  std::vector<std::byte> bytes;
  while (const auto place = ahead.Take()) {
    if (stop) return absl::CancelledError("the server ends");
    const ExtentRef& ref = ref_of(*place);
    bytes.resize(ref.bytes);
    if (absl::Status status = store.Read(ref, bytes); !status.ok()) return status;
    take(place->layer, place->i, std::span<const std::byte>(bytes));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<memory::CheckpointManifest> WriteExtents(memory::ExtentStore* store,
                                                        const SessionImage& image,
                                                        const CheckpointBase& base,
                                                        memory::CheckpointBinding binding,
                                                        const std::atomic<bool>& stop) {
  const CheckpointManifest* const old = base.manifest;
  CheckpointManifest manifest;
  manifest.binding = std::move(binding);
  manifest.binding.summary_kind = static_cast<uint8_t>(image.summary());
  manifest.position = image.position();
  Writer writer(store, stop);
  memory::FailPoint("checkpoint.before_extents");
  absl::Status status = writer.Write(ExtentKind::kPage, image.pages(),
                                     old == nullptr ? nullptr : &old->pages, &manifest.pages);
  if (status.ok()) {
    status = writer.Write(ExtentKind::kTile, image.tiles(), old == nullptr ? nullptr : &old->tiles,
                          &manifest.tiles);
  }
  if (!status.ok()) return status;
  absl::StatusOr<ExtentRef> state = writer.Append(ExtentKind::kState, image.state());
  if (!state.ok()) return state.status();
  manifest.state = *state;
  status = WritePoints(image, base, &writer, &manifest);
  if (status.ok()) status = WritePieces(image, old, &writer, &manifest);
  if (status.ok()) status = store->Sync();
  if (!status.ok()) return status;
  memory::FailPoint("checkpoint.after_extents");
  writer.Keep();
  return manifest;
}

absl::StatusOr<std::string> ReadPiece(const memory::ExtentStore& store, const ExtentRef& ref) {
  std::string bytes(ref.bytes, 0);
  const absl::Status status = store.Read(ref, std::as_writable_bytes(std::span(bytes)));
  if (!status.ok()) return status;
  return bytes;
}

absl::Status ReadExtents(const memory::ExtentStore& store, const CheckpointManifest& manifest,
                         const ExtentRef& state, memory::SessionLoad* load,
                         const std::atomic<bool>& stop) {
  store.WillRead(state);
  std::vector<std::byte> bytes(state.bytes);
  absl::Status status = store.Read(state, bytes);
  if (!status.ok()) return status;
  load->WriteState(bytes);
  memory::FailPoint("checkpoint.while_loading");
  status = Read(
      store, manifest.tiles, load->tiles(), stop, [](int64_t) { return false; },
      [load](int64_t layer, int64_t tile, auto bytes) { load->WriteTile(layer, tile, bytes); });
  if (!status.ok()) return status;
  return Read(
      store, manifest.pages, load->blocks(), stop,
      [load](int64_t block) { return load->IsLate(block); },
      [load](int64_t layer, int64_t block, auto bytes) { load->WritePage(layer, block, bytes); });
}

absl::Status ReadLatePages(const memory::ExtentStore& store, const CheckpointManifest& manifest,
                           memory::LatePages* late, const std::function<void()>& landed,
                           const std::atomic<bool>& stop) {
  using Page = memory::LatePages::Page;
  const auto ref_of = [&](const Page& page) -> const ExtentRef& {
    return manifest.pages[page.layer][page.block];
  };
  ReadAhead<Page> ahead(
      &store, [late] { return late->Next(); }, ref_of);
  std::vector<std::byte> bytes;
  while (const auto page = ahead.Take()) {
    if (stop) return absl::CancelledError("the server ends");
    const ExtentRef& ref = ref_of(*page);
    bytes.resize(ref.bytes);
    if (absl::Status status = store.Read(ref, bytes); !status.ok()) return status;
    late->Write(*page, bytes);
    if (late->Landed(*page)) landed();
  }
  return absl::OkStatus();
}

}  // namespace eidetic
