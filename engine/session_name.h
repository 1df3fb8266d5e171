// The name of a session: tenants/{tenant}/sessions/{session} (AIP-122).
//
// Thread safety: plain value. Ownership: value. Preconditions: Parse checks.
#ifndef EIDETIC_ENGINE_SESSION_NAME_H_
#define EIDETIC_ENGINE_SESSION_NAME_H_

#include <string>
#include <string_view>
#include <tuple>

#include "absl/status/statusor.h"

namespace eidetic {

struct SessionName {
  std::string tenant;
  std::string session;

  // INVALID_ARGUMENT naming `field` when `text` has another form. Both segments:
  // a letter, then letters, digits and '-', lower case, at most 63 characters.
  static absl::StatusOr<SessionName> Parse(std::string_view text, std::string_view field);
  // The tenant out of "tenants/{tenant}".
  static absl::StatusOr<std::string> ParseTenant(std::string_view text, std::string_view field);
  static bool IsSegment(std::string_view text);

  std::string ToString() const { return "tenants/" + tenant + "/sessions/" + session; }
  auto operator<=>(const SessionName&) const = default;
};

// NOT_FOUND in the words that every caller gets, whether the session never was or is another
// tenant's.
absl::Status NoSuchSession(const SessionName& name);

// The name of a snapshot: tenants/{tenant}/sessions/{session}/snapshots/{snapshot}.
struct SnapshotName {
  SessionName session;
  std::string snapshot;

  // As SessionName::Parse.
  static absl::StatusOr<SnapshotName> Parse(std::string_view text, std::string_view field);

  std::string ToString() const { return session.ToString() + "/snapshots/" + snapshot; }
  auto operator<=>(const SnapshotName&) const = default;
};

// The name of an adapter: tenants/{tenant}/adapters/{adapter}.
struct AdapterName {
  std::string tenant;
  std::string adapter;

  // As SessionName::Parse.
  static absl::StatusOr<AdapterName> Parse(std::string_view text, std::string_view field);

  std::string ToString() const { return "tenants/" + tenant + "/adapters/" + adapter; }
  auto operator<=>(const AdapterName&) const = default;
};

// NOT_FOUND, as NoSuchSession.
absl::Status NoSuchAdapter(const AdapterName& name);

// What a session's state was computed with: an adapter of its tenant, and that adapter's content.
struct AdapterBinding {
  std::string adapter;  // the last segment of its name; empty: the base model
  std::string content_hash;

  bool empty() const { return adapter.empty(); }
  // As checkpoints name it.
  std::string ToString() const { return empty() ? "" : adapter + "@" + content_hash; }
  bool operator==(const AdapterBinding&) const = default;
};

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_SESSION_NAME_H_
