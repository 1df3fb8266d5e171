// What an operator sees from outside: pages over HTTP, lines of the log.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <sys/socket.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "server/call_log.h"
#include "server/edge_fixture.h"
#include "server/json_log.h"
#include "server/metrics_server.h"

namespace eidetic {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;
using Json = nlohmann::json;

constexpr char kTrace[] = "0af7651916cd43dd8448eb211c80319c";

// The whole answer to a GET, head and body.
std::string Get(int port, const std::string& path) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{
      .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {}, .sin_zero = {}};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  const std::string request = "GET " + path + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
  EXPECT_EQ(write(fd, request.data(), request.size()), ssize_t(request.size()));
  std::string answer;
  char part[4096];
  for (ssize_t n; (n = read(fd, part, sizeof part)) > 0;) answer.append(part, n);
  close(fd);
  return answer;
}

class ObserveTest : public EdgeTest {
 protected:
  ObserveTest() {
    metrics_ = std::make_shared<Metrics>(
        "models/fake", "fake",
        MetricsOptions{{"acme"}, ::testing::TempDir(), absl::Milliseconds(400)});
    auto started = MetricsServer::Start("127.0.0.1:0", metrics_);
    EXPECT_TRUE(started.ok()) << started.status();
    pages_ = *std::move(started);
  }
  std::string Page(const std::string& path) { return Get(pages_->port(), path); }

  std::unique_ptr<MetricsServer> pages_;
};

TEST_F(ObserveTest, HealthzFollowsTheHeartbeatAndNotTheProcess) {
  EXPECT_THAT(Page("/healthz"), StartsWith("HTTP/1.1 503"));
  EXPECT_THAT(Page("/healthz"), HasSubstr("no model is loaded"));
  metrics_->Watch(&engine_);
  EXPECT_THAT(Page("/healthz"), StartsWith("HTTP/1.1 200"));
  engine_.set_heartbeat(absl::Now() - absl::Seconds(1));
  EXPECT_THAT(Page("/healthz"), StartsWith("HTTP/1.1 503"));
  EXPECT_THAT(Page("/readyz"), StartsWith("HTTP/1.1 503"));
  engine_.set_heartbeat(absl::InfiniteFuture());
  EXPECT_THAT(Page("/healthz"), StartsWith("HTTP/1.1 200"));
}

TEST_F(ObserveTest, AServerThatDrainsLivesAndIsNotReady) {
  metrics_->Watch(&engine_);
  EXPECT_THAT(Page("/readyz"), StartsWith("HTTP/1.1 200"));
  metrics_->OnDraining();
  EXPECT_THAT(Page("/readyz"), StartsWith("HTTP/1.1 503"));
  EXPECT_THAT(Page("/healthz"), StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(Page("/metrics"), HasSubstr("\neidetic_draining 1"));
}

TEST_F(ObserveTest, AServerWhoseQueueIsFullIsNotReady) {
  metrics_->Watch(&engine_);
  engine_.engine_limits.max_sequences = 3;  // as many as it says run
  EXPECT_THAT(Page("/readyz"), HasSubstr("--max_sequences"));
}

TEST_F(ObserveTest, ThePageTellsProcessAndDisk) {
  const std::string page = Page("/metrics");
  EXPECT_THAT(page, StartsWith("HTTP/1.1 200"));
  for (const char* name : {"process_resident_memory_bytes ", "process_open_fds ",
                           "process_cpu_seconds_total ", "process_start_time_seconds ",
                           "eidetic_storage_free_bytes ", "eidetic_storage_capacity_bytes "}) {
    EXPECT_THAT(page, HasSubstr(std::string("\n") + name));
  }
  EXPECT_THAT(Page("/nothing"), StartsWith("HTTP/1.1 404"));
}

TEST_F(ObserveTest, AMetricsAddressThatIsTakenIsRefused) {
  const auto second = MetricsServer::Start(absl::StrCat("127.0.0.1:", pages_->port()), metrics_);
  EXPECT_THAT(std::string(second.status().message()), StartsWith("metrics_address: "));
  EXPECT_FALSE(MetricsServer::Start("nonsense", metrics_).ok());
}

TEST_F(ObserveTest, OnlyNamedTenantsBecomeLabels) {
  for (const char* tenant : {"acme", "globex", "hooli"}) {
    metrics_->CountGeneration(tenant, absl::StatusCode::kOk);
    metrics_->CountTenantTokens(tenant, 7, 2);
  }
  const std::string page = Page("/metrics");
  for (const char* line : {
           "eidetic_tenant_generations_total{code=\"OK\",tenant=\"acme\"} 1",
           "eidetic_tenant_generations_total{code=\"OK\",tenant=\"other\"} 2",
           "eidetic_tenant_tokens_total{kind=\"prompt\",tenant=\"acme\"} 7",
           "eidetic_tenant_tokens_total{kind=\"generated\",tenant=\"other\"} 4",
       }) {
    EXPECT_THAT(page, HasSubstr(line));
  }
  EXPECT_THAT(page, Not(HasSubstr("globex")));
}

TEST_F(ObserveTest, RefusalsAndCancellationsAreCountedByReason) {
  metrics_->CountRpc("m", absl::StatusCode::kResourceExhausted, "sessions: all 5 are taken");
  metrics_->CountRpc("m", absl::StatusCode::kResourceExhausted, "hostile{}: text");
  metrics_->CountRpc("m", absl::StatusCode::kUnavailable, "the device is lost");
  metrics_->CountRpc("m", absl::StatusCode::kCancelled);
  metrics_->CountRpc("m", absl::StatusCode::kDeadlineExceeded);
  const std::string page = Page("/metrics");
  for (const char* line : {
           "eidetic_rejections_total{reason=\"sessions\"} 1",
           "eidetic_rejections_total{reason=\"other\"} 1",
           "eidetic_rejections_total{reason=\"unavailable\"} 1",
           "eidetic_cancellations_total{reason=\"client\"} 1",
           "eidetic_cancellations_total{reason=\"deadline\"} 1",
       }) {
    EXPECT_THAT(page, HasSubstr(line));
  }
}

TEST(TraceIdTest, IsTakenFromAWellFormedTraceparentAlone) {
  const std::string good = std::string("00-") + kTrace + "-b7ad6b7169203331-01";
  EXPECT_EQ(TraceId(good), kTrace);
  EXPECT_EQ(TraceId("01" + good.substr(2) + "-more"), kTrace);
  EXPECT_EQ(TraceId(good + "-more"), "");
  EXPECT_EQ(TraceId("ff" + good.substr(2)), "");
  EXPECT_EQ(TraceId(good.substr(0, 54)), "");
  EXPECT_EQ(TraceId("00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01"), "");
  EXPECT_EQ(TraceId("00-00000000000000000000000000000000-b7ad6b7169203331-01"), "");
  EXPECT_EQ(TraceId("00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01"), "");
  EXPECT_EQ(TraceId(""), "");
}

TEST(CallLogTest, TellsFactsAndCutsWhatClientsChoose) {
  const Json line = Json::parse(CallJson({.method = "/a.B/C",
                                          .code = absl::StatusCode::kOk,
                                          .time = absl::Milliseconds(250),
                                          .request_id = std::string(200, 'x') + "\"",
                                          .trace_id = kTrace,
                                          .tenant = "acme",
                                          .generated_tokens = 4}));
  EXPECT_EQ(line["method"], "/a.B/C");
  EXPECT_EQ(line["code"], "OK");
  EXPECT_EQ(line["seconds"], 0.25);
  EXPECT_EQ(line["request_id"].get<std::string>().size(), 128u);
  EXPECT_EQ(line["trace_id"], kTrace);
  EXPECT_EQ(line["generated_tokens"], 4);
  EXPECT_FALSE(line.contains("prompt_tokens"));
}

TEST(JsonLogTest, EachLineIsOneObjectWhateverTheMessage) {
  const std::string hostile = "a \"quote\"\nand\x01 \xff bytes";
  const std::string line = LogJson(absl::FromUnixMicros(1), "INFO", "main.cc", 7, hostile);
  EXPECT_EQ(line.find('\n'), std::string::npos);
  const Json object = Json::parse(line);
  EXPECT_EQ(object["time"], "1970-01-01T00:00:00.000001Z");
  EXPECT_EQ(object["severity"], "INFO");
  EXPECT_EQ(object["file"], "main.cc");
  EXPECT_EQ(object["line"], 7);
  EXPECT_THAT(object["message"].get<std::string>(), StartsWith("a \"quote\"\nand"));
}

TEST(JsonLogTest, AnEventKeepsItsFields) {
  const Json object =
      Json::parse(LogJson(absl::Now(), "INFO", "audit.cc", 7, R"(audit {"act":"Delete"})"));
  EXPECT_EQ(object["event"], "audit");
  EXPECT_EQ(object["fields"]["act"], "Delete");
  EXPECT_FALSE(object.contains("message"));
  EXPECT_TRUE(
      Json::parse(LogJson(absl::Now(), "INFO", "f", 1, "audit {broken")).contains("message"));
}

}  // namespace
}  // namespace eidetic
