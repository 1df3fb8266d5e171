#include "clients/cli/input.h"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

namespace eidetic::cli {
namespace {

TEST(ReadText, ReadsFilesAndStandardInput) {
  const std::string path = ::testing::TempDir() + "/input_test.txt";
  std::ofstream(path) << "from a file";
  std::istringstream in("from outside");
  EXPECT_EQ(*ReadText(path, in), "from a file");
  EXPECT_EQ(*ReadText("-", in), "from outside");
}

TEST(ReadText, RefusesWhatIsNoText) {
  std::istringstream in("caf\xe9");
  EXPECT_TRUE(absl::IsInvalidArgument(ReadText("-", in).status()));
  EXPECT_TRUE(absl::IsNotFound(ReadText("/no/such/file", in).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(ReadText("/", in).status()));
}

TEST(FirstParagraphs, EndsAfterTheLastParagraphThatFits) {
  const std::string_view text = "one\n\ntwo\n\nthree";
  EXPECT_EQ(FirstParagraphs(text, 100), text);
  EXPECT_EQ(FirstParagraphs(text, 12), "one\n\ntwo\n\n");
  EXPECT_EQ(FirstParagraphs(text, 10), "one\n\ntwo\n\n");
  EXPECT_EQ(FirstParagraphs(text, 9), "one\n\n");
  EXPECT_EQ(FirstParagraphs(text, 3), "one");
  EXPECT_EQ(FirstParagraphs(text, 0), "");
  EXPECT_EQ(FirstParagraphs("\u20ac\u20ac", 4), "\u20ac");
}

}  // namespace
}  // namespace eidetic::cli
