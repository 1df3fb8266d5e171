// The line that shows how an ingestion comes along.
//
// Thread safety: thread-compatible. Ownership: borrows its stream.
// Preconditions: none.
#ifndef EIDETIC_CLIENTS_CLI_PROGRESS_BAR_H_
#define EIDETIC_CLIENTS_CLI_PROGRESS_BAR_H_

#include <cstdint>
#include <optional>
#include <ostream>
#include <string>

#include "absl/time/time.h"
#include "clients/cpp/append.h"

namespace eidetic::cli {

struct ProgressSample {
  int64_t bytes_done = 0;  // of what the model has seen
  int64_t bytes_total = 0;
  int64_t tokens_done = 0;
  absl::Duration elapsed = absl::ZeroDuration();
};

// Of an append: the bytes that the model has seen are told from its tokens' share of
// those that the session has acknowledged.
ProgressSample SampleOf(const client::AppendProgress& progress, absl::Duration elapsed);

// "[#####---------------]  25%  96.0/384.0 KB  24,576 tokens  12,288 tokens/s  ETA 0:06".
// Rate and ETA are "-" until there is something to tell them from.
std::string FormatProgress(const ProgressSample& sample);

// 1234567 as "1,234,567".
std::string WithThousands(int64_t number);

class ProgressBar {
 public:
  // Draws on `out` when `shown`, else does nothing.
  ProgressBar(std::ostream* out, bool shown) : out_(*out), shown_(shown) {}
  // Ends the line.
  ~ProgressBar();
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  // Redraws, at most every kRedrawInterval but for the last sample.
  void Update(const client::AppendProgress& progress);

 private:
  std::ostream& out_;
  const bool shown_;
  const absl::Time begin_ = absl::Now();
  std::optional<absl::Time> drawn_;
};

inline constexpr absl::Duration kRedrawInterval = absl::Milliseconds(100);

}  // namespace eidetic::cli

#endif  // EIDETIC_CLIENTS_CLI_PROGRESS_BAR_H_
