#include "tests/bench/engine_starter.h"

#include <glog/logging.h>

#include <utility>

#include "absl/time/time.h"
#include "engine/engine_parts.h"
#include "memory/durable/extent_store.h"
#include "memory/durable/file_system.h"
#include "memory/durable/journal.h"
#include "memory/session_demand.h"

namespace eidetic::bench {
namespace {

constexpr uint64_t kWeightSeed = 1;
// Tokens that a measurement adds, and blocks that its forks copy, with room to spare.
constexpr int64_t kNewTokens = 1024;
constexpr int64_t kSpareBlocks = 64;

std::unique_ptr<HybridModel> LoadModel(const EngineStarter::Options& options) {
  auto model = std::filesystem::is_directory(options.model)
                   ? HybridModel::Load(options.model, options.backend)
                   : HybridModel::LoadRandom(options.model, kWeightSeed, options.backend);
  CHECK(model.ok()) << model.status();
  return *std::move(model);
}

// A model that outlives the engine which has it.
class BorrowedModel final : public HybridModel {
 public:
  explicit BorrowedModel(HybridModel* model) : model_(model) {}
  const ModelDescription& description() const override { return model_->description(); }
  const std::string& content_hash() const override { return model_->content_hash(); }
  int64_t parameter_count() const override { return model_->parameter_count(); }
  memory::MemoryGeometry Geometry(int32_t block_size) const override {
    return model_->Geometry(block_size);
  }
  absl::StatusOr<std::shared_ptr<const ModelAdapter>> LoadAdapter(
      const AdapterWeights& weights) override {
    return model_->LoadAdapter(weights);
  }
  void Submit(std::vector<StepChunk> chunks) override { model_->Submit(std::move(chunks)); }
  StepResult Await() override { return model_->Await(); }

 private:
  HybridModel* const model_;
};

template <typename T>
T Good(absl::StatusOr<T> value) {
  CHECK(value.ok()) << value.status();
  return *std::move(value);
}

}  // namespace

EngineStarter::EngineStarter(const Options& options)
    : options_(options), model_(LoadModel(options)) {}

memory::SpanSettings EngineStarter::settings() const {
  return memory::DefaultSpanSettings(options_.backend->bounding());
}

EngineLimits EngineStarter::LimitsFor(int64_t tokens, Room room) const {
  EngineLimits limits;
  limits.keeping.checkpoint_idle = limits.keeping.sleep_after = absl::Hours(1);
  limits.keeping.checkpoint_tokens = int64_t{1} << 40;
  const memory::MemoryGeometry geometry = model_->Geometry(limits.block_tokens);
  const memory::SessionDemand demand = memory::DemandOf(
      geometry, settings(), tokens + kNewTokens, static_cast<int32_t>(limits.query_chunk_tokens));
  const int64_t near = demand.near_pages + kSpareBlocks * geometry.attention_layers;
  const bool on_host = room == Room::kHost;
  // Below the marks: beyond them it would make room in every turn.
  const auto below = [](int64_t pages, double mark) {
    return static_cast<int32_t>(static_cast<double>(pages) / mark) + 1;
  };
  limits.memory.max_pages =
      below(near + (on_host ? 0 : demand.distant_pages), limits.marks.device_high);
  if (on_host) {
    limits.memory.max_host_pages = below(demand.distant_pages, limits.marks.host_high);
    limits.memory.max_promoted_pages = 0;
  }
  limits.memory.max_state_slots = 8;
  limits.memory.points.max_points = 0;  // nothing rewinds
  return limits;
}

std::unique_ptr<Engine> EngineStarter::Start(const std::filesystem::path& data_folder,
                                             int64_t tokens, Room room) const {
  const bool folder = std::filesystem::is_directory(options_.model);
  std::filesystem::create_directories(data_folder);
  Backend* const backend = options_.backend;
  return Good(CreateEngine({
      .model = std::make_unique<BorrowedModel>(model_.get()),
      .tokenizer = Good(Tokenizer::Load(folder ? options_.model : options_.tokenizer)),
      .arena = backend->arena(),
      .indexer = backend->indexer(),
      .host_arena = backend->host_arena(),
      .journal = Good(memory::Journal::Open({.folder = data_folder / "journal"})),
      .extents =
          Good(memory::ExtentStore::Open(memory::FileSystem::Posix(), data_folder / "extents", {})),
      .build = "bench",
      .device_kind = backend->device_kind(),
      .page_form = backend->page_form(),
      .finds_late_pages = backend->finds_late_pages(),
      .options = {.limits = LimitsFor(tokens, room),
                  .observer = options_.observer,
                  .data_folder = data_folder},
  }));
}

}  // namespace eidetic::bench
