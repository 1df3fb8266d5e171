#include "clients/cli/text_table.h"

#include <algorithm>
#include <utility>

#include "clients/cpp/utf8.h"

namespace eidetic::cli {
namespace {

constexpr std::string_view kEllipsis = "...";

// Characters, which is what a terminal's columns count in this project's texts.
size_t Width(std::string_view text) {
  return std::count_if(text.begin(), text.end(),
                       [](char byte) { return !client::IsUtf8Continuation(byte); });
}

// Moves `offset` back to the beginning of its character.
size_t CharacterBegin(std::string_view text, size_t offset) {
  while (offset > 0 && offset < text.size() && client::IsUtf8Continuation(text[offset])) --offset;
  return offset;
}

std::string FoldSpace(std::string_view text) {
  std::string folded;
  for (char c : text) {
    // Control characters would let a passage drive the terminal.
    const bool is_space = static_cast<unsigned char>(c) <= ' ' || c == 0x7f;
    if (!is_space) {
      folded.push_back(c);
    } else if (!folded.empty() && folded.back() != ' ') {
      folded.push_back(' ');
    }
  }
  if (!folded.empty() && folded.back() == ' ') folded.pop_back();
  return folded;
}

}  // namespace

TextTable::TextTable(std::vector<std::string> header) { AddRow(std::move(header)); }

void TextTable::AddRow(std::vector<std::string> row) { rows_.push_back(std::move(row)); }

void TextTable::Print(std::ostream& out) const {
  std::vector<size_t> widths(rows_.front().size());
  for (const auto& row : rows_) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], Width(row[i]));
  }
  for (const auto& row : rows_) {
    for (size_t i = 0; i < row.size(); ++i) {
      out << row[i];
      if (i + 1 < row.size()) out << std::string(widths[i] - Width(row[i]) + 2, ' ');
    }
    out << '\n';
  }
}

std::string Trimmed(std::string_view text, size_t width, std::string_view focus) {
  const std::string folded = FoldSpace(text);
  if (Width(folded) <= width) return folded;
  const size_t room = width - 2 * kEllipsis.size();
  size_t begin = 0;
  const size_t found = focus.empty() ? std::string::npos : folded.find(FoldSpace(focus));
  if (found != std::string::npos && found + focus.size() > room) {
    const size_t before = room > focus.size() ? (room - focus.size()) / 2 : 0;
    begin = CharacterBegin(folded, found - std::min(found, before));
  }
  const size_t end = CharacterBegin(folded, std::min(begin + room, folded.size()));
  std::string trimmed(begin > 0 ? kEllipsis : "");
  trimmed += folded.substr(begin, end - begin);
  if (end < folded.size()) trimmed += kEllipsis;
  return trimmed;
}

}  // namespace eidetic::cli
