#include "engine/text/vocabulary.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "engine/text/byte_alphabet.h"
#include "engine/text/quoted.h"

namespace eidetic {
namespace {

constexpr size_t kChunkBytes = 64 << 10;

}  // namespace

absl::Status Vocabulary::CheckNew(std::string_view spelling, std::string_view bytes,
                                  int64_t id) const {
  if (bytes.empty()) return absl::InvalidArgumentError("a token is empty");
  if (bytes.size() > static_cast<size_t>(limits_.max_token_bytes)) {
    return absl::InvalidArgumentError(
        absl::StrCat("token ", Quoted(spelling), " has over ", limits_.max_token_bytes, " bytes"));
  }
  if (id < 0 || id >= limits_.max_vocab_size) {
    return absl::InvalidArgumentError(absl::StrCat("token ", Quoted(spelling), " has id ", id,
                                                   ", outside 0 to ", limits_.max_vocab_size - 1));
  }
  if (id < size() && HasEntry(static_cast<TokenId>(id))) {
    return absl::InvalidArgumentError(
        absl::StrCat("id ", id, " of token ", Quoted(spelling), " is already taken"));
  }
  return absl::OkStatus();
}

std::string_view Vocabulary::Store(std::string_view bytes) {
  if (chunks_.empty() || chunks_.back().capacity() - chunks_.back().size() < bytes.size()) {
    chunks_.emplace_back().reserve(std::max(kChunkBytes, bytes.size()));
  }
  std::string& chunk = chunks_.back();
  const size_t at = chunk.size();
  chunk.append(bytes);
  return std::string_view(chunk).substr(at);
}

void Vocabulary::SetBytes(std::string_view stored, int64_t id) {
  if (id >= size()) bytes_.resize(id + 1);
  bytes_[id] = stored;
}

absl::Status Vocabulary::Add(std::string_view spelling, int64_t id) {
  const std::optional<std::string> decoded = BytesOfSpelling(spelling);
  const std::string_view bytes = decoded ? std::string_view(*decoded) : spelling;
  if (absl::Status status = CheckNew(spelling, bytes, id); !status.ok()) return status;
  const std::string_view stored = Store(bytes);
  Index& index = decoded ? by_bytes_ : by_verbatim_;
  if (!index.emplace(stored, static_cast<TokenId>(id)).second) {
    return absl::InvalidArgumentError(absl::StrCat("token ", Quoted(spelling), " is repeated"));
  }
  SetBytes(stored, id);
  return absl::OkStatus();
}

absl::Status Vocabulary::AddAddedToken(std::string_view spelling, int64_t id, bool special) {
  const std::optional<TokenId> existing = FindSpelling(spelling);
  if (!existing) {
    if (absl::Status status = CheckNew(spelling, spelling, id); !status.ok()) return status;
  } else if (*existing != id) {
    return absl::InvalidArgumentError(absl::StrCat("token ", Quoted(spelling), " has id ", id,
                                                   " but model.vocab says ", *existing));
  } else if (special) {
    by_bytes_.erase(bytes_[id]);
  }
  SetBytes(Store(spelling), id);
  return absl::OkStatus();
}

std::optional<TokenId> Vocabulary::FindSpelling(std::string_view spelling) const {
  const std::optional<std::string> decoded = BytesOfSpelling(spelling);
  if (decoded) return FindBytes(*decoded);
  const auto found = by_verbatim_.find(spelling);
  if (found == by_verbatim_.end()) return std::nullopt;
  return found->second;
}

std::optional<TokenId> Vocabulary::FindBytes(std::string_view bytes) const {
  const auto found = by_bytes_.find(bytes);
  if (found == by_bytes_.end()) return std::nullopt;
  return found->second;
}

}  // namespace eidetic
