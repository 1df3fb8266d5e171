#include "server/identity/tenant_quotas_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace eidetic {
namespace {

using ::testing::StartsWith;

TEST(TenantQuotasFileTest, NamesTenantsAndTheRest) {
  const auto quotas = ParseTenantQuotas(R"({"tenants": [
      {"tenant": "acme", "weight": 2.5, "max_sessions": 100, "tokens_per_day": 1000000},
      {"tenant": "*", "max_running_requests": 8}]})");
  ASSERT_TRUE(quotas.ok()) << quotas.status();
  EXPECT_EQ(quotas->Of("acme").weight, 2.5);
  EXPECT_EQ(quotas->Of("acme").max_sessions, 100);
  EXPECT_EQ(quotas->Of("acme").tokens_per_day, 1'000'000);
  EXPECT_EQ(quotas->Of("acme").max_running_requests, 0) << "its own entry says nothing of it";
  EXPECT_EQ(quotas->Of("zenith").max_running_requests, 8);
}

TEST(TenantQuotasFileTest, AFileThatCanNotBeMeantIsRefusedWithThePlace) {
  const struct {
    const char* json;
    const char* place;
  } cases[] = {
      {R"({"tenants": [{"weight": 1}]})", "tenants[0].tenant: is missing"},
      {R"({"tenants": [{"tenant": "Acme"}]})", "tenants[0].tenant: "},
      {R"({"tenants": [{"tenant": "a", "weight": 0}]})", "tenants[0].weight: must be from"},
      {R"({"tenants": [{"tenant": "a", "max_sessions": 1.5}]})", "tenants[0].max_sessions: must"},
      {R"({"tenants": [{"tenant": "a", "max_sessions": "9"}]})", "tenants[0].max_sessions: must"},
      {R"({"tenants": [{"tenant": "a", "max_session": 9}]})", "tenants[0].max_session: is not"},
      {R"({"tenants": [{"tenant": "a"}, {"tenant": "a"}]})", "tenants[1].tenant: is given twice"},
      {R"({"tenants": [{"tenant": "*"}, {"tenant": "*"}]})", "tenants[1].tenant: is given twice"},
      {R"({"tenants": {}})", "tenants: must be an array"},
      {"[]", "the file: must be a JSON object"},
  };
  for (const auto& c : cases) {
    const absl::Status status = ParseTenantQuotas(c.json).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << c.json;
    EXPECT_THAT(std::string(status.message()), StartsWith(c.place)) << c.json;
  }
}

}  // namespace
}  // namespace eidetic
