// Columns of text, aligned, for people to read.
//
// Thread safety: thread-compatible. Ownership: owns its cells.
// Preconditions: every row has as many cells as the header.
#ifndef EIDETIC_CLIENTS_CLI_TEXT_TABLE_H_
#define EIDETIC_CLIENTS_CLI_TEXT_TABLE_H_

#include <ostream>
#include <string>
#include <string_view>
#include <vector>

namespace eidetic::cli {

class TextTable {
 public:
  explicit TextTable(std::vector<std::string> header);
  void AddRow(std::vector<std::string> row);
  void Print(std::ostream& out) const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

// `text` on one line, white space and control characters folded to single spaces; when
// longer than `width` characters, cut to it around `focus` (a piece of `text`, else its
// beginning), with "..." where something is missing. `width` is at least 8.
std::string Trimmed(std::string_view text, size_t width, std::string_view focus = {});

}  // namespace eidetic::cli

#endif  // EIDETIC_CLIENTS_CLI_TEXT_TABLE_H_
