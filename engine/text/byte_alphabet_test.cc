#include "engine/text/byte_alphabet.h"

#include <gtest/gtest.h>

#include <set>

#include "engine/text/utf8.h"

namespace eidetic {
namespace {

TEST(ByteAlphabet, SpellsEveryByteWithALetterOfItsOwn) {
  std::set<char32_t> letters;
  for (int byte = 0; byte < 256; ++byte) {
    const char32_t letter = LetterOfByte(static_cast<uint8_t>(byte));
    EXPECT_TRUE(letters.insert(letter).second) << byte;
    std::string spelling;
    AppendUtf8(letter, &spelling);
    EXPECT_EQ(BytesOfSpelling(spelling), std::string(1, static_cast<char>(byte)));
  }
}

TEST(ByteAlphabet, IsTheAlphabetOfGpt2) {
  EXPECT_EQ(BytesOfSpelling("ĠtheĊ"), " the\n");
  EXPECT_EQ(BytesOfSpelling("Ã©"), "é");
  EXPECT_EQ(LetterOfByte(0), char32_t{0x100});
  EXPECT_EQ(LetterOfByte(0xAD), char32_t{0x143});
}

TEST(ByteAlphabet, RefusesOtherCharacters) {
  EXPECT_EQ(BytesOfSpelling("a b"), std::nullopt);
  EXPECT_EQ(BytesOfSpelling("日"), std::nullopt);
  EXPECT_EQ(BytesOfSpelling("\u0144"), std::nullopt) << "one above the last letter";
}

}  // namespace
}  // namespace eidetic
