// eidetic memory: look into what a session remembers.
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "clients/cli/command.h"
#include "clients/cli/input.h"
#include "clients/cli/json.h"
#include "clients/cli/text_table.h"

namespace eidetic::cli {
namespace {

struct SearchOptions {
  std::string session;
  std::string query;
  int limit = 8;
};

constexpr size_t kPassageWidth = 100;

absl::Status Search(const SearchOptions& options, Context& context) {
  if (absl::Status status = CheckUtf8(options.query, "query"); !status.ok()) return status;
  const auto session = context.client.OpenSession(options.session);
  if (!session.ok()) return session.status();
  const auto found = session->Search(options.query, options.limit);
  if (!found.ok()) return found.status();
  if (context.json) {
    context.streams.out << ToJson(*found) << '\n';
    return absl::OkStatus();
  }
  TextTable table({"mass", "tokens", "passage"});
  for (const v1::Passage& passage : found->passages()) {
    table.AddRow({absl::StrFormat("%.4f", passage.mass()),
                  absl::StrCat(passage.begin_position(), "-", passage.end_position()),
                  Trimmed(passage.text(), kPassageWidth)});
  }
  table.Print(context.streams.out);
  return absl::OkStatus();
}

}  // namespace

void AddMemory(CLI::App* app, Command* chosen) {
  auto options = std::make_shared<SearchOptions>();
  CLI::App* memory = app->add_subcommand("memory", "Look into what a session remembers");
  memory->require_subcommand(1);
  CLI::App* search = memory->add_subcommand("search", "Passages that a text would retrieve");
  search->add_option("session", options->session, "Its id or whole name")->required();
  search->add_option("query", options->query, "The text")->required();
  search->add_option("--limit", options->limit, "Passages at most")->capture_default_str();
  Choose(search, chosen, options, Search);
}

}  // namespace eidetic::cli
