// eidetic keys: makes API keys. It talks to no server: the operator enters what it prints.
#include <openssl/rand.h>
#include <openssl/sha.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "clients/cli/command.h"

namespace eidetic::cli {
namespace {

constexpr size_t kSecretBytes = 32;
constexpr size_t kMaxIdChars = 63;

struct KeysOptions {
  std::string id, tenant;
  std::string role = "user";
};

// As servers have ids of keys and tenants.
std::string CheckId(const std::string& text) {
  const auto is_letter = [](char c) { return c >= 'a' && c <= 'z'; };
  const auto is_part = [&](char c) { return is_letter(c) || (c >= '0' && c <= '9') || c == '-'; };
  const bool good = !text.empty() && text.size() <= kMaxIdChars && is_letter(text[0]) &&
                    std::all_of(text.begin(), text.end(), is_part);
  return good ? "" : "'" + text + "' is not a letter, then letters, digits and '-', lower case";
}

absl::Status New(const KeysOptions& options, Context& context) {
  std::string secret(kSecretBytes, '\0');
  if (RAND_bytes(reinterpret_cast<unsigned char*>(secret.data()), kSecretBytes) != 1) {
    return absl::UnavailableError("the system gives no random numbers");
  }
  const std::string key = absl::StrCat("eid_", options.id, "_", absl::BytesToHexString(secret));
  std::string digest(SHA256_DIGEST_LENGTH, '\0');
  SHA256(reinterpret_cast<const unsigned char*>(key.data()), key.size(),
         reinterpret_cast<unsigned char*>(digest.data()));
  const nlohmann::ordered_json entry = {{"id", options.id},
                                        {"sha256", absl::BytesToHexString(digest)},
                                        {"tenant", options.tenant},
                                        {"role", options.role}};
  if (context.json) {
    context.streams.out << nlohmann::ordered_json{{"key", key}, {"entry", entry}}.dump() << '\n';
  } else {
    context.streams.out << "key, shown this once:     " << key << '\n'
                        << "entry for --api_keys:     " << entry.dump() << '\n';
  }
  return absl::OkStatus();
}

}  // namespace

void AddKeys(CLI::App* app, Command* chosen) {
  auto options = std::make_shared<KeysOptions>();
  CLI::App* keys = app->add_subcommand("keys", "Make API keys");
  keys->require_subcommand(1);
  CLI::App* command = keys->add_subcommand(
      "new", "Make a key, and its entry for 'keys' in the server's file of --api_keys");
  command->add_option("--id", options->id, "Names the key in the file and in the audit log")
      ->required()
      ->check(CheckId);
  command->add_option("--tenant", options->tenant, "Whose key it is")->required()->check(CheckId);
  command->add_option("--role", options->role, "user, or admin: of all tenants")
      ->check(CLI::IsMember({"user", "admin"}))
      ->capture_default_str();
  Choose(command, chosen, options, New);
}

}  // namespace eidetic::cli
