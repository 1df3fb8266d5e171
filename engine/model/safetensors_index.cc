#include "engine/model/safetensors_index.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "engine/model/json_events.h"
#include "engine/text/quoted.h"

namespace eidetic {
namespace {

constexpr int kMaxIndexDepth = 8;
constexpr size_t kMaxFileNameBytes = 255;
constexpr std::string_view kWeightMap = "weight_map";

bool IsPlainFileName(std::string_view name) {
  return !name.empty() && name.size() <= kMaxFileNameBytes && name != "." && name != ".." &&
         name.find('/') == std::string_view::npos && name.find('\0') == std::string_view::npos;
}

// {"weight_map": {tensor: file}}; everything else is skipped.
class IndexEvents : public JsonEvents {
 public:
  explicit IndexEvents(const SafetensorsLimits& limits) : limits_(limits) {}
  SafetensorsIndex TakeIndex() { return std::move(index_); }
  bool has_weight_map() const { return has_weight_map_; }

  bool start_object(size_t) override {
    if (InWeightMap()) return NotAFileName();
    return Deeper();
  }

  bool start_array(size_t) override {
    if (depth_ == 0) return Fail("must be an object");
    if (field_ == kWeightMap) return NotAFileName();
    return Deeper();
  }

  bool end_object() override {
    --depth_;
    return true;
  }

  bool end_array() override {
    --depth_;
    return true;
  }

  bool key(std::string& name) override {
    if (depth_ == 1) {
      field_ = name;
      if (name != kWeightMap) return true;
      if (has_weight_map_) return Fail("weight_map appears twice");
      has_weight_map_ = true;
    } else if (InWeightMap()) {
      if (index_.shard_of.size() == static_cast<size_t>(limits_.max_tensors)) {
        return Fail(absl::StrCat("weight_map: more than ", limits_.max_tensors, " tensors"));
      }
      index_.shard_of.emplace_back(name, "");
    }
    return true;
  }

  bool string(std::string& value) override {
    if (!InWeightMap()) return OnOther();
    if (!IsPlainFileName(value)) {
      return Fail(absl::StrCat("weight_map: ", Quoted(index_.shard_of.back().first), ": ",
                               Quoted(value), " must be a plain name of a file beside the index"));
    }
    index_.shard_of.back().second = value;
    index_.shards.insert(value);
    if (index_.shards.size() > static_cast<size_t>(limits_.max_shards)) {
      return Fail(absl::StrCat("weight_map: more than ", limits_.max_shards, " files"));
    }
    return true;
  }

  bool number_unsigned(uint64_t) override { return OnOther(); }

 protected:
  bool OnOther() override {
    if (depth_ == 0) return Fail("must be an object");
    return field_ == kWeightMap ? NotAFileName() : true;
  }

 private:
  bool InWeightMap() const { return depth_ == 2 && field_ == kWeightMap; }
  bool NotAFileName() { return Fail("weight_map must be {tensor: file name}"); }
  bool Deeper() {
    return ++depth_ <= kMaxIndexDepth || Fail(absl::StrCat("nests deeper than ", kMaxIndexDepth));
  }

  const SafetensorsLimits& limits_;
  SafetensorsIndex index_;
  std::string field_;  // the key at depth 1
  int depth_ = 0;
  bool has_weight_map_ = false;
};

}  // namespace

absl::StatusOr<SafetensorsIndex> ParseSafetensorsIndex(std::string_view json,
                                                       const SafetensorsLimits& limits) {
  IndexEvents events(limits);
  if (absl::Status status = events.Read(json); !status.ok()) return status;
  if (!events.has_weight_map()) {
    return absl::InvalidArgumentError("weight_map is missing: it maps each tensor to its file");
  }
  return events.TakeIndex();
}

}  // namespace eidetic
