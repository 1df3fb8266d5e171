#include "engine/session_name.h"

#include <gtest/gtest.h>

namespace eidetic {
namespace {

TEST(SessionNameTest, ParsesWhatItPrints) {
  const auto name = SessionName::Parse("tenants/acme/sessions/chat-7", "name");
  ASSERT_TRUE(name.ok()) << name.status();
  EXPECT_EQ(name->tenant, "acme");
  EXPECT_EQ(name->session, "chat-7");
  EXPECT_EQ(name->ToString(), "tenants/acme/sessions/chat-7");
}

TEST(SessionNameTest, RefusesOtherFormsAndNamesTheField) {
  for (const char* text :
       {"", "tenants/acme", "tenants/acme/sessions/", "tenants//sessions/a",
        "tenants/acme/sessions/a/b", "/tenants/acme/sessions/a", "tenants/acme/sessions/a/",
        "tenants/Acme/sessions/a", "tenants/acme/sessions/7a", "tenants/acme/sessions/-a",
        "tenants/acme/sessions/a_b", "tenants/acme/sessions/\xC3\xA4"}) {
    const auto name = SessionName::Parse(text, "session");
    ASSERT_FALSE(name.ok()) << text;
    EXPECT_EQ(name.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(name.status().message().find("session: "), 0u) << name.status();
  }
}

TEST(SessionNameTest, ASegmentHasAtMost63Characters) {
  EXPECT_TRUE(SessionName::IsSegment(std::string(63, 'a')));
  EXPECT_FALSE(SessionName::IsSegment(std::string(64, 'a')));
  EXPECT_FALSE(SessionName::IsSegment(""));
}

TEST(SessionNameTest, ParsesATenant) {
  EXPECT_EQ(SessionName::ParseTenant("tenants/acme", "parent").value(), "acme");
  EXPECT_FALSE(SessionName::ParseTenant("tenants/acme/", "parent").ok());
  EXPECT_FALSE(SessionName::ParseTenant("acme", "parent").ok());
}

TEST(SessionNameTest, ParsesASnapshot) {
  const SnapshotName name{{"acme", "chat"}, "before"};
  EXPECT_EQ(SnapshotName::Parse(name.ToString(), "name").value(), name);
  for (const char* text :
       {"tenants/acme/sessions/chat", "tenants/acme/sessions/chat/snapshots/",
        "tenants/acme/sessions/chat/snapshots/a/b", "tenants/acme/sessions/chat/snapshots/A"}) {
    EXPECT_EQ(SnapshotName::Parse(text, "name").status().code(), absl::StatusCode::kInvalidArgument)
        << text;
  }
}

TEST(SessionNameTest, AHugeNameIsNotEchoedWhole) {
  const auto name = SessionName::Parse(std::string(1 << 20, 'x'), "name");
  EXPECT_LT(name.status().message().size(), 500u);
}

}  // namespace
}  // namespace eidetic
