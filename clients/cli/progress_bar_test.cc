#include "clients/cli/progress_bar.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

namespace eidetic::cli {
namespace {

using ::testing::HasSubstr;

TEST(FormatProgress, TellsShareBytesTokensRateAndRemainingTime) {
  EXPECT_EQ(FormatProgress({.bytes_done = 98304,
                            .bytes_total = 393216,
                            .tokens_done = 24576,
                            .elapsed = absl::Seconds(2)}),
            "[#####---------------]  25%  96.0/384.0 KB  24,576 tokens  12,288 tokens/s  ETA 0:06");
  EXPECT_EQ(FormatProgress({.bytes_done = 3 << 20,
                            .bytes_total = 300 << 20,
                            .tokens_done = 1'000'000,
                            .elapsed = absl::Seconds(100)}),
            "[--------------------]   1%  3.0/300.0 MB  1,000,000 tokens  10,000 tokens/s  "
            "ETA 2:45:00");
}

TEST(FormatProgress, GuessesNothingBeforeItKnowsSomething) {
  EXPECT_EQ(FormatProgress({.bytes_total = 500}),
            "[--------------------]   0%  0/500 B  0 tokens  - tokens/s  ETA -");
}

TEST(FormatProgress, EndsFull) {
  EXPECT_EQ(
      FormatProgress(
          {.bytes_done = 10, .bytes_total = 10, .tokens_done = 4, .elapsed = absl::Seconds(1)}),
      "[####################] 100%  10/10 B  4 tokens  4 tokens/s  ETA 0:00");
  EXPECT_THAT(FormatProgress({}), HasSubstr("100%"));
}

TEST(SampleOf, CountsWhatTheModelHasSeen) {
  const ProgressSample sample = SampleOf({.bytes_total = 4000,
                                          .bytes_acknowledged = 2000,
                                          .begin_position = 100,
                                          .position = 600,
                                          .computed_position = 225},
                                         absl::Seconds(1));
  EXPECT_EQ(sample.tokens_done, 125);
  EXPECT_EQ(sample.bytes_done, 500);
  // A session may be behind where the append begins.
  EXPECT_EQ(SampleOf({.bytes_total = 1, .begin_position = 9, .position = 9}, {}).bytes_done, 0);
}

TEST(WithThousands, GroupsDigits) {
  EXPECT_EQ(WithThousands(0), "0");
  EXPECT_EQ(WithThousands(999), "999");
  EXPECT_EQ(WithThousands(1000), "1,000");
  EXPECT_EQ(WithThousands(-123456), "-123,456");
  EXPECT_EQ(WithThousands(1234567), "1,234,567");
}

TEST(ProgressBar, DrawsOnlyWhenShown) {
  const client::AppendProgress done{
      .bytes_total = 5, .bytes_acknowledged = 5, .position = 2, .computed_position = 2};
  std::ostringstream shown, hidden;
  {
    ProgressBar(&shown, true).Update(done);
    ProgressBar(&hidden, false).Update(done);
  }
  EXPECT_THAT(shown.str(), HasSubstr("100%"));
  EXPECT_EQ(shown.str().back(), '\n');
  EXPECT_EQ(hidden.str(), "");
}

}  // namespace
}  // namespace eidetic::cli
