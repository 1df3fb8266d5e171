#include "engine/engine.h"

#include <utility>

#include "engine/engine_parts.h"

namespace eidetic {

absl::StatusOr<std::unique_ptr<Engine>> Engine::Create(const std::filesystem::path& model_folder,
                                                       Backend* backend, const Options& options) {
  // The tokenizer first: it is small, and a bad folder fails fast.
  absl::StatusOr<std::unique_ptr<Tokenizer>> tokenizer = Tokenizer::Load(model_folder);
  if (!tokenizer.ok()) return tokenizer.status();
  absl::StatusOr<std::unique_ptr<HybridModel>> model = HybridModel::Load(model_folder, backend);
  if (!model.ok()) return model.status();
  return CreateEngine({.model = *std::move(model),
                       .tokenizer = *std::move(tokenizer),
                       .arena = backend->arena(),
                       .indexer = backend->indexer(),
                       .options = options});
}

}  // namespace eidetic
