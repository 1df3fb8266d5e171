#include "server/page_token.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/digest.h"

namespace eidetic {
namespace {

TEST(PageTokenTest, GoesRoundTripForItsParent) {
  const std::string token = EncodePageToken("tenants/acme", "chat-9");
  EXPECT_EQ(token.find("chat"), std::string::npos);  // opaque
  EXPECT_EQ(*DecodePageToken("tenants/acme", token), "chat-9");
  EXPECT_EQ(*DecodePageToken("tenants/acme", ""), "");
}

TEST(PageTokenTest, IsRefusedForAnotherParent) {
  const std::string token = EncodePageToken("tenants/acme", "chat");
  const auto other = DecodePageToken("tenants/acme2", token);
  EXPECT_EQ(other.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(other.status().message()), ::testing::StartsWith("page_token: "));
}

TEST(PageTokenTest, EveryTamperedCharacterIsNoticed) {
  const std::string token = EncodePageToken("tenants/acme", "chat");
  for (size_t i = 0; i < token.size(); ++i) {
    std::string tampered = token;
    tampered[i] = tampered[i] == 'A' ? 'B' : 'A';
    EXPECT_FALSE(DecodePageToken("tenants/acme", tampered).ok()) << i;
    if (i > 0) {
      EXPECT_FALSE(DecodePageToken("tenants/acme", token.substr(0, i)).ok()) << i;
    }
  }
  EXPECT_FALSE(DecodePageToken("tenants/acme", "not base64 !").ok());
  EXPECT_FALSE(DecodePageToken("tenants/acme", std::string(1 << 20, 'A')).ok());
}

TEST(DigestTest, IsSha256) {  // FIPS 180-2, appendix B.1
  EXPECT_EQ(Sha256("abc").substr(0, 4), "\xBA\x78\x16\xBF");
  EXPECT_EQ(Sha256("").size(), 32u);
}

}  // namespace
}  // namespace eidetic
