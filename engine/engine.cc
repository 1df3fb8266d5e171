#include "engine/engine.h"

#include <functional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/durable/build_id.h"
#include "engine/engine_parts.h"
#include "memory/durable/file_system.h"

namespace eidetic {
namespace {

// Null when no folder is named.
absl::StatusOr<std::unique_ptr<memory::Journal>> OpenJournal(const std::filesystem::path& folder) {
  if (folder.empty()) return nullptr;
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) {
    return absl::InvalidArgumentError(
        absl::StrCat("data_folder: can not make ", folder.string(), ": ", error.message()));
  }
  return memory::Journal::Open({.folder = folder / "journal"});
}

// The journal's lock keeps other processes away. Null when no folder is named.
absl::StatusOr<std::unique_ptr<memory::ExtentStore>> OpenExtents(
    const std::filesystem::path& folder) {
  if (folder.empty()) return nullptr;
  return memory::ExtentStore::Open(memory::FileSystem::Posix(), folder / "extents", {});
}

absl::StatusOr<std::unique_ptr<Engine>> CreateWith(
    const std::filesystem::path& tokenizer_folder, Backend* backend, const Engine::Options& options,
    const std::function<absl::StatusOr<std::unique_ptr<HybridModel>>()>& load_model) {
  // The tokenizer first: it is small, and a bad folder fails fast.
  absl::StatusOr<std::unique_ptr<Tokenizer>> tokenizer = Tokenizer::Load(tokenizer_folder);
  if (!tokenizer.ok()) return tokenizer.status();
  absl::StatusOr<std::unique_ptr<HybridModel>> model = load_model();
  if (!model.ok()) return model.status();
  auto journal = OpenJournal(options.data_folder);
  if (!journal.ok()) return journal.status();
  auto extents = OpenExtents(options.data_folder);
  if (!extents.ok()) return extents.status();
  return CreateEngine({.model = *std::move(model),
                       .tokenizer = *std::move(tokenizer),
                       .arena = backend->arena(),
                       .indexer = backend->indexer(),
                       .host_arena = backend->host_arena(),
                       .journal = *std::move(journal),
                       .extents = *std::move(extents),
                       .build = BuildId(),
                       .device_kind = backend->device_kind(),
                       .page_form = backend->page_form(),
                       .finds_late_pages = backend->finds_late_pages(),
                       .options = options});
}

}  // namespace

absl::StatusOr<std::unique_ptr<Engine>> Engine::Create(const std::filesystem::path& model_folder,
                                                       Backend* backend, const Options& options) {
  return CreateWith(model_folder, backend, options,
                    [&] { return HybridModel::Load(model_folder, backend); });
}

absl::StatusOr<std::unique_ptr<Engine>> Engine::CreateRandom(
    const std::filesystem::path& config_file, uint64_t seed,
    const std::filesystem::path& tokenizer_folder, Backend* backend, const Options& options) {
  return CreateWith(tokenizer_folder, backend, options,
                    [&] { return HybridModel::LoadRandom(config_file, seed, backend); });
}

}  // namespace eidetic
