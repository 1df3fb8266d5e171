// The operator's files of API keys and of quotas; and keys as callers send them.
#include "server/identity/api_keys.h"

#include <glog/logging.h>

#include "server/identity/tenant_quotas_file.h"
#include "tests/fuzz/fuzz_target.h"

namespace eidetic::fuzz {

std::vector<std::string> Seeds() {
  const std::string hash(64, 'a');
  return {R"({"keys": [{"id": "ci", "sha256": ")" + hash + R"(", "tenant": "acme", "role": "admin"},
 {"id": "cd", "sha256": ")" +
              hash + R"(", "tenant": "edge"}],
 "certificates": [{"common_name": "Gate 1", "tenant": "edge", "role": "user"}]})",
          R"({"tenants": [{"tenant": "acme", "weight": 2, "max_sessions": 100,
 "tokens_per_second": 1e3}, {"tenant": "*", "max_running_requests": 4}]})",
          "eid_ci_0123456789abcdef"};
}

}  // namespace eidetic::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text = eidetic::fuzz::View(data, size);
  (void)eidetic::ParseTenantQuotas(text);
  const auto keys = eidetic::ApiKeys::Parse(text);
  if (!keys.ok()) {
    CHECK(!keys.status().message().empty());
    return 0;
  }
  CHECK(!keys->FindKey(text).has_value());  // no file has the hash of itself
  (void)keys->FindCertificate("Gate 1");
  return 0;
}
