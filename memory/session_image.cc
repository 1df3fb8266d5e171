#include "memory/session_image.h"

#include <glog/logging.h>

#include <cstring>

namespace eidetic::memory {

SessionImage::~SessionImage() {
  Release(pages_);
  Release(tiles_);
}

void SessionImage::AddLayer(std::vector<Layer>* layers, const PageTable& table, const Range& range,
                            size_t bytes) {
  CHECK(0 <= range.first && range.first <= range.complete && range.complete <= range.end &&
        range.end <= table.count());
  Layer& layer = layers->emplace_back();
  layer.range = range;
  layer.bytes = bytes;
  for (int64_t i = range.first; i < range.end; ++i) {
    Part& part = layer.parts.emplace_back();
    part.place = table.PlaceOf(i);
    if (i < range.complete) {
      part.place.store->AddReference(part.place.id);
      continue;
    }
    part.copied.resize(bytes);
    part.place.store->arena()->CopyToHost(part.copied.data(), part.place.address, bytes);
  }
}

void SessionImage::Read(const Layer& layer, int64_t index, std::span<std::byte> to) {
  CHECK(index >= layer.range.first && index < layer.range.end) << "no part " << index;
  CHECK_EQ(to.size(), layer.bytes);
  const Part& part = layer.parts[index - layer.range.first];
  if (index < layer.range.complete) {
    part.place.store->arena()->CopyToHost(to.data(), part.place.address, to.size());
  } else {
    std::memcpy(to.data(), part.copied.data(), to.size());
  }
}

void SessionImage::Release(std::vector<Layer>& layers) {
  for (Layer& layer : layers) {
    for (int64_t i = layer.range.first; i < layer.range.complete; ++i) {
      const PageTable::Place& place = layer.parts[i - layer.range.first].place;
      // Ids of tiles and of the device's pages are no pages of the host.
      const bool host = promoted_ != nullptr && place.store == promoted_->host();
      if (host) promoted_->Leave(place.id);
      place.store->Release(place.id);
    }
  }
}

}  // namespace eidetic::memory
