// eidetic models: what the server serves.
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "clients/cli/command.h"
#include "clients/cli/json.h"
#include "clients/cli/progress_bar.h"
#include "clients/cli/text_table.h"

namespace eidetic::cli {
namespace {

struct ModelsOptions {};

absl::Status List(const ModelsOptions&, Context& context) {
  const auto models = context.client.ListModels();
  if (!models.ok()) return models.status();
  v1::ListModelsResponse list;
  TextTable table({"name", "family", "parameters", "layers", "context", "backend"});
  for (const v1::Model& model : *models) {
    *list.add_models() = model;
    table.AddRow(
        {model.name(), model.family(), WithThousands(model.parameter_count()),
         absl::StrCat(model.layer_count(), " (", model.attention_layer_count(), " attention)"),
         WithThousands(model.trained_context_tokens()), model.backend()});
  }
  if (context.json) {
    context.streams.out << ToJson(list) << '\n';
  } else {
    table.Print(context.streams.out);
  }
  return absl::OkStatus();
}

}  // namespace

void AddModels(CLI::App* app, Command* chosen) {
  CLI::App* command = app->add_subcommand("models", "List the models that the server serves");
  Choose(command, chosen, std::make_shared<ModelsOptions>(), List);
}

}  // namespace eidetic::cli
