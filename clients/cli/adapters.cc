// eidetic adapters: loads, unloads and lists a tenant's adapters.
#include <memory>
#include <string>

#include "clients/cli/command.h"
#include "clients/cli/json.h"
#include "clients/cli/progress_bar.h"
#include "clients/cli/text_table.h"

namespace eidetic::cli {
namespace {

struct AdaptersOptions {
  std::string adapter;
  std::string folder;
};

void Print(const v1::ListAdaptersResponse& list, Context& context) {
  TextTable table({"name", "folder", "bytes", "users", "content hash", "state"});
  for (const v1::Adapter& adapter : list.adapters()) {
    table.AddRow({adapter.name(), adapter.folder(), WithThousands(adapter.memory_bytes()),
                  WithThousands(adapter.user_count()), adapter.content_hash().substr(0, 12),
                  adapter.problem().empty() ? "loaded" : "NOT LOADED: " + adapter.problem()});
  }
  table.Print(context.streams.out);
}

absl::Status Load(const AdaptersOptions& options, Context& context) {
  const auto adapter = context.client.LoadAdapter(options.adapter, options.folder);
  if (!adapter.ok()) return adapter.status();
  if (context.json) {
    context.streams.out << ToJson(*adapter) << '\n';
  } else {
    v1::ListAdaptersResponse one;
    *one.add_adapters() = *adapter;
    Print(one, context);
  }
  return absl::OkStatus();
}

absl::Status Unload(const AdaptersOptions& options, Context& context) {
  const absl::Status status = context.client.UnloadAdapter(options.adapter);
  if (status.ok() && context.json) context.streams.out << "{}\n";
  return status;
}

absl::Status List(const AdaptersOptions&, Context& context) {
  const auto adapters = context.client.ListAdapters();
  if (!adapters.ok()) return adapters.status();
  v1::ListAdaptersResponse list;
  for (const v1::Adapter& adapter : *adapters) *list.add_adapters() = adapter;
  if (context.json) {
    context.streams.out << ToJson(list) << '\n';
  } else {
    Print(list, context);
  }
  return absl::OkStatus();
}

}  // namespace

void AddAdapters(CLI::App* app, Command* chosen) {
  auto options = std::make_shared<AdaptersOptions>();
  CLI::App* adapters = app->add_subcommand("adapters", "Load, unload and list adapters");
  adapters->require_subcommand(1);
  CLI::App* load = adapters->add_subcommand("load", "Load an adapter into the server");
  load->add_option("adapter", options->adapter, "Its id")->required();
  load->add_option("--folder", options->folder,
                   "Its folder, in the tenant's folder on the server; default: the id");
  Choose(load, chosen, options, Load);
  CLI::App* unload = adapters->add_subcommand("unload", "Unload an adapter that nothing uses");
  unload->add_option("adapter", options->adapter, "Its id or whole name")->required();
  Choose(unload, chosen, options, Unload);
  Choose(adapters->add_subcommand("ls", "List the tenant's adapters"), chosen, options, List);
}

}  // namespace eidetic::cli
