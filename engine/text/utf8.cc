#include "engine/text/utf8.h"

#include <cstdint>
#include <cstring>

namespace eidetic {
namespace {

// What may follow a lead byte (Unicode 15, table 3-7): the second byte's range
// excludes overlong forms, surrogates and everything above U+10FFFF.
struct Lead {
  size_t length;
  uint8_t second_low;
  uint8_t second_high;
};

Lead LeadOf(uint8_t byte) {
  if (byte < 0xC2) return {0, 0, 0};
  if (byte < 0xE0) return {2, 0x80, 0xBF};
  if (byte == 0xE0) return {3, 0xA0, 0xBF};
  if (byte == 0xED) return {3, 0x80, 0x9F};
  if (byte < 0xF0) return {3, 0x80, 0xBF};
  if (byte == 0xF0) return {4, 0x90, 0xBF};
  if (byte < 0xF4) return {4, 0x80, 0xBF};
  if (byte == 0xF4) return {4, 0x80, 0x8F};
  return {0, 0, 0};
}

size_t AsciiPrefix(std::string_view bytes) {
  size_t n = 0;
  for (uint64_t word; n + sizeof(word) <= bytes.size(); n += sizeof(word)) {
    std::memcpy(&word, bytes.data() + n, sizeof(word));
    if ((word & 0x8080808080808080u) != 0) break;
  }
  while (n < bytes.size() && static_cast<uint8_t>(bytes[n]) < 0x80) ++n;
  return n;
}

}  // namespace

Utf8Step NextUtf8(std::string_view bytes) {
  const uint8_t first = bytes[0];
  if (first < 0x80) return {Utf8Kind::kCharacter, 1, first};
  const Lead lead = LeadOf(first);
  if (lead.length == 0) return {Utf8Kind::kInvalid, 1, 0};
  char32_t code_point = first & (0x7F >> lead.length);
  for (size_t i = 1; i < lead.length; ++i) {
    if (i == bytes.size()) return {Utf8Kind::kTruncated, i, 0};
    const uint8_t byte = bytes[i];
    const uint8_t low = i == 1 ? lead.second_low : 0x80;
    const uint8_t high = i == 1 ? lead.second_high : 0xBF;
    if (byte < low || byte > high) return {Utf8Kind::kInvalid, i, 0};
    code_point = (code_point << 6) | (byte & 0x3F);
  }
  return {Utf8Kind::kCharacter, lead.length, code_point};
}

std::optional<size_t> FindInvalidUtf8(std::string_view bytes) {
  for (size_t at = AsciiPrefix(bytes); at < bytes.size();) {
    const Utf8Step step = NextUtf8(bytes.substr(at));
    if (step.kind != Utf8Kind::kCharacter) return at;
    at += step.length;
    at += AsciiPrefix(bytes.substr(at));
  }
  return std::nullopt;
}

void AppendUtf8(char32_t code_point, std::string* out) {
  if (code_point < 0x80) {
    out->push_back(static_cast<char>(code_point));
    return;
  }
  const int tail = code_point < 0x800 ? 1 : code_point < 0x10000 ? 2 : 3;
  // The lead byte's marker has one bit more than there are bytes in all.
  const uint8_t marker = static_cast<uint8_t>(0xF00 >> (tail + 1));
  out->push_back(static_cast<char>(marker | (code_point >> (6 * tail))));
  for (int i = tail - 1; i >= 0; --i) {
    out->push_back(static_cast<char>(0x80 | ((code_point >> (6 * i)) & 0x3F)));
  }
}

void DrainUtf8(std::string* pending, std::string* out) {
  size_t at = 0;
  while (at < pending->size()) {
    const Utf8Step step = NextUtf8(std::string_view(*pending).substr(at));
    if (step.kind == Utf8Kind::kTruncated) break;
    if (step.kind == Utf8Kind::kCharacter) {
      out->append(*pending, at, step.length);
    } else {
      out->append(kReplacementCharacter);
    }
    at += step.length;
  }
  pending->erase(0, at);
}

}  // namespace eidetic
