#include "clients/cli/progress_bar.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"

namespace eidetic::cli {
namespace {

constexpr int kBarCells = 20;
// Shorter than this, a rate says nothing.
constexpr absl::Duration kLeastElapsed = absl::Milliseconds(50);

// "96.0/384.0 KB", both in the total's unit.
std::string FormatBytes(int64_t done, int64_t total) {
  static constexpr const char* kUnits[] = {"B", "KB", "MB", "GB"};
  size_t unit = 0;
  double divisor = 1;
  for (; unit + 1 < std::size(kUnits) && total / divisor >= 1024; ++unit) divisor *= 1024;
  if (unit == 0) return absl::StrFormat("%d/%d B", done, total);
  return absl::StrFormat("%.1f/%.1f %s", done / divisor, total / divisor, kUnits[unit]);
}

std::string ClockFormat(absl::Duration duration) {
  const int64_t seconds = std::llround(absl::ToDoubleSeconds(duration));
  if (seconds < 3600) return absl::StrFormat("%d:%02d", seconds / 60, seconds % 60);
  return absl::StrFormat("%d:%02d:%02d", seconds / 3600, seconds / 60 % 60, seconds % 60);
}

}  // namespace

std::string WithThousands(int64_t number) {
  std::string digits = absl::StrCat(number);
  const int64_t first = number < 0 ? 1 : 0;
  for (int64_t i = static_cast<int64_t>(digits.size()) - 3; i > first; i -= 3) {
    digits.insert(i, 1, ',');
  }
  return digits;
}

ProgressSample SampleOf(const client::AppendProgress& progress, absl::Duration elapsed) {
  ProgressSample sample{.bytes_total = progress.bytes_total, .elapsed = elapsed};
  const int64_t logged = progress.position - progress.begin_position;
  sample.tokens_done =
      std::clamp<int64_t>(progress.computed_position - progress.begin_position, 0, logged);
  if (logged > 0) {
    const double share = static_cast<double>(sample.tokens_done) / logged;
    sample.bytes_done = std::llround(share * progress.bytes_acknowledged);
  }
  return sample;
}

std::string FormatProgress(const ProgressSample& sample) {
  const double share =
      sample.bytes_total > 0 ? static_cast<double>(sample.bytes_done) / sample.bytes_total : 1;
  const int filled = static_cast<int>(share * kBarCells);
  std::string rate = "-", eta = "-";
  if (sample.elapsed >= kLeastElapsed && sample.bytes_done > 0) {
    rate = WithThousands(std::llround(sample.tokens_done / absl::ToDoubleSeconds(sample.elapsed)));
    eta = ClockFormat(sample.elapsed * ((1 - share) / share));
  }
  return absl::StrCat("[", std::string(filled, '#'), std::string(kBarCells - filled, '-'), "] ",
                      absl::StrFormat("%3d%%  ", static_cast<int>(share * 100)),
                      FormatBytes(sample.bytes_done, sample.bytes_total), "  ",
                      WithThousands(sample.tokens_done), " tokens  ", rate, " tokens/s  ETA ", eta);
}

ProgressBar::~ProgressBar() {
  if (drawn_) out_ << std::endl;
}

void ProgressBar::Update(const client::AppendProgress& progress) {
  if (!shown_) return;
  const absl::Time now = absl::Now();
  const ProgressSample sample = SampleOf(progress, now - begin_);
  const bool is_last = sample.bytes_done == sample.bytes_total;
  if (drawn_ && now - *drawn_ < kRedrawInterval && !is_last) return;
  drawn_ = now;
  // The trailing escape clears what a longer line left.
  out_ << '\r' << FormatProgress(sample) << "\x1b[K" << std::flush;
}

}  // namespace eidetic::cli
