// A session's published past as it was at one moment, for a checkpoint.
//
// What: complete blocks and tiles, which never change, are shared; the last, partial ones and the
//   state were copied to the host when the image was taken. The session goes on meanwhile.
// Thread safety: Read... and plain facts from any one thread; made and destroyed on the engine's.
// Ownership: holds a reference to each page that it shares; borrows the stores.
// Preconditions: CHECKed.
#ifndef EIDETIC_MEMORY_SESSION_IMAGE_H_
#define EIDETIC_MEMORY_SESSION_IMAGE_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "memory/ids.h"
#include "memory/page_table.h"
#include "memory/promoted_pages.h"
#include "memory/span_rules.h"
#include "memory/state_points.h"

namespace eidetic::memory {

class SessionImage {
 public:
  SessionImage(Position position, SummaryKind summary, PromotedPages* promoted)
      : position_(position), summary_(summary), promoted_(promoted) {}
  ~SessionImage();
  SessionImage(const SessionImage&) = delete;
  SessionImage& operator=(const SessionImage&) = delete;

  // Of one kind, in one layer: what stands in [first, end) can be read; what lies before
  // `complete` never changes.
  struct Range {
    int64_t first = 0, complete = 0, end = 0;
  };
  struct Part {
    PageTable::Place place;         // of a shared page
    std::vector<std::byte> copied;  // else
  };
  struct Layer {
    Range range;
    size_t bytes = 0;  // of each part
    std::vector<Part> parts;
  };

  Position position() const { return position_; }
  SummaryKind summary() const { return summary_; }
  const std::vector<Layer>& pages() const { return pages_; }
  const std::vector<Layer>& tiles() const { return tiles_; }  // no parts without a summary
  std::span<const std::byte> state() const { return state_; }
  // State checkpoints, by position.
  const std::vector<StatePointPtr>& points() const { return points_; }

  // Fills `to`, of layer.bytes, with part `index` of its range.
  static void Read(const Layer& layer, int64_t index, std::span<std::byte> to);

 private:
  friend class SessionMemory;
  void AddLayer(std::vector<Layer>* layers, const PageTable& table, const Range& range,
                size_t bytes);
  void Release(std::vector<Layer>& layers);

  const Position position_;
  const SummaryKind summary_;
  PromotedPages* const promoted_;  // null: there is one tier alone
  std::vector<Layer> pages_, tiles_;
  std::vector<std::byte> state_;
  std::vector<StatePointPtr> points_;
};

}  // namespace eidetic::memory

#endif  // EIDETIC_MEMORY_SESSION_IMAGE_H_
