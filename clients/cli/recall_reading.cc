#include "clients/cli/recall_reading.h"

#include <algorithm>
#include <string>

#include "clients/cli/input.h"

namespace eidetic::cli {
namespace {

constexpr size_t kSamples = 8;
constexpr size_t kSampleBytes = 32 << 10;

// The text if it is short, else pieces from all over it.
std::string Sample(std::string_view text) {
  if (text.size() <= kSamples * kSampleBytes) return std::string(text);
  std::string sample;
  for (size_t i = 0; i < kSamples; ++i) {
    const size_t begin = std::min(text.find('\n', text.size() / kSamples * i), text.size());
    sample += FirstParagraphs(text.substr(begin), kSampleBytes);
  }
  return sample;
}

}  // namespace

absl::StatusOr<double> BytesPerToken(std::string_view text, const client::Client& client) {
  const std::string sample = Sample(text);
  if (sample.empty()) return absl::InvalidArgumentError("text: is empty; give one to read");
  const auto ids = client.Tokenize(sample);
  if (!ids.ok()) return ids.status();
  if (ids->empty()) return absl::InternalError("the server made no tokens of the text");
  return static_cast<double>(sample.size()) / ids->size();
}

absl::Status Read(Haystack* haystack, client::Session* session, ProgressBar* bar) {
  client::AppendProgress whole{.bytes_total = static_cast<int64_t>(haystack->bytes())};
  while (const auto piece = haystack->Next()) {
    const int64_t bytes_before = whole.bytes_acknowledged;
    client::AppendOptions append{.parse_special = piece->parse_special};
    append.on_progress = [&](const client::AppendProgress& progress) {
      whole.bytes_acknowledged = bytes_before + progress.bytes_acknowledged;
      whole.position = progress.position;
      whole.computed_position = progress.computed_position;
      bar->Update(whole);
    };
    if (const auto read = session->Append(piece->text, append); !read.ok()) return read.status();
  }
  return absl::OkStatus();
}

}  // namespace eidetic::cli
