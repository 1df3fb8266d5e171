#include "clients/cli/text_table.h"

#include <gtest/gtest.h>

#include <sstream>

namespace eidetic::cli {
namespace {

TEST(TextTable, AlignsColumnsByCharacters) {
  TextTable table({"name", "n", "last"});
  table.AddRow({"caf\u00e9s", "1", "x"});
  table.AddRow({"a", "12345", ""});
  std::ostringstream out;
  table.Print(out);
  EXPECT_EQ(out.str(),
            "name   n      last\n"
            "caf\u00e9s  1      x\n"
            "a      12345  \n");
}

TEST(Trimmed, FoldsWhiteSpaceAndControlCharacters) {
  EXPECT_EQ(Trimmed("  one\n\n two\x1b[2Jthree\t", 40), "one two [2Jthree");
  EXPECT_EQ(Trimmed("", 8), "");
}

TEST(Trimmed, CutsAroundTheFocus) {
  const std::string text = std::string(50, 'a') + " needle " + std::string(50, 'b');
  EXPECT_EQ(Trimmed(text, 20), std::string(14, 'a') + "...");
  EXPECT_EQ(Trimmed(text, 20, "needle"), "...aaa needle bbb...");
  EXPECT_EQ(Trimmed(text, 20, "absent"), std::string(14, 'a') + "...");
}

TEST(Trimmed, NeverCutsACharacter) {
  std::string euros;
  for (int i = 0; i < 20; ++i) euros += "\u20ac";
  EXPECT_EQ(Trimmed(euros, 12), "\u20ac\u20ac...");
}

}  // namespace
}  // namespace eidetic::cli
