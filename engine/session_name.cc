#include "engine/session_name.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace eidetic {
namespace {

constexpr size_t kMaxSegmentChars = 63;
// What is quoted of a name that a client sent.
constexpr size_t kMaxQuotedChars = 160;

bool IsLetter(char c) { return c >= 'a' && c <= 'z'; }

// Takes `word` and a segment off the front of `rest`.
bool TakeSegment(std::string_view word, std::string_view* rest, std::string* segment) {
  if (!rest->starts_with(word)) return false;
  rest->remove_prefix(word.size());
  const std::string_view taken = rest->substr(0, rest->find('/'));
  if (!SessionName::IsSegment(taken)) return false;
  *segment = std::string(taken);
  rest->remove_prefix(taken.size());
  return true;
}

absl::Status NotOfForm(std::string_view text, std::string_view field, std::string_view form) {
  return absl::InvalidArgumentError(
      absl::StrCat(std::string(field), ": '", std::string(text.substr(0, kMaxQuotedChars)),
                   "' is not of the form ", std::string(form),
                   "; a segment is a letter, then letters, digits and '-', lower case, at most ",
                   kMaxSegmentChars, " characters"));
}

}  // namespace

bool SessionName::IsSegment(std::string_view text) {
  if (text.empty() || text.size() > kMaxSegmentChars || !IsLetter(text.front())) return false;
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return IsLetter(c) || (c >= '0' && c <= '9') || c == '-'; });
}

absl::StatusOr<SessionName> SessionName::Parse(std::string_view text, std::string_view field) {
  SessionName name;
  std::string_view rest = text;
  if (TakeSegment("tenants/", &rest, &name.tenant) &&
      TakeSegment("/sessions/", &rest, &name.session) && rest.empty()) {
    return name;
  }
  return NotOfForm(text, field, "tenants/{tenant}/sessions/{session}");
}

absl::Status NoSuchSession(const SessionName& name) {
  return absl::NotFoundError(
      absl::StrCat("session: there is no ", name.ToString(), "; create it first"));
}

absl::StatusOr<SnapshotName> SnapshotName::Parse(std::string_view text, std::string_view field) {
  SnapshotName name;
  std::string_view rest = text;
  if (TakeSegment("tenants/", &rest, &name.session.tenant) &&
      TakeSegment("/sessions/", &rest, &name.session.session) &&
      TakeSegment("/snapshots/", &rest, &name.snapshot) && rest.empty()) {
    return name;
  }
  return NotOfForm(text, field, "tenants/{tenant}/sessions/{session}/snapshots/{snapshot}");
}

absl::StatusOr<AdapterName> AdapterName::Parse(std::string_view text, std::string_view field) {
  AdapterName name;
  std::string_view rest = text;
  if (TakeSegment("tenants/", &rest, &name.tenant) &&
      TakeSegment("/adapters/", &rest, &name.adapter) && rest.empty()) {
    return name;
  }
  return NotOfForm(text, field, "tenants/{tenant}/adapters/{adapter}");
}

absl::Status NoSuchAdapter(const AdapterName& name) {
  return absl::NotFoundError(
      absl::StrCat("adapter: there is no ", name.ToString(), "; load it first"));
}

absl::StatusOr<std::string> SessionName::ParseTenant(std::string_view text,
                                                     std::string_view field) {
  std::string tenant;
  std::string_view rest = text;
  if (TakeSegment("tenants/", &rest, &tenant) && rest.empty()) return tenant;
  return NotOfForm(text, field, "tenants/{tenant}");
}

}  // namespace eidetic
