#include "server/metrics_server.h"

#include <CivetServer.h>
#include <prometheus/text_serializer.h>

#include <functional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"

namespace eidetic {
namespace {

struct Answer {
  int code = 200;
  const char* content_type = "text/plain; charset=utf-8";
  std::string body;
};

class Page : public CivetHandler {
 public:
  explicit Page(std::function<Answer()> make) : make_(std::move(make)) {}

  bool handleGet(CivetServer*, mg_connection* connection) override {
    const Answer answer = make_();
    mg_printf(connection,
              "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n"
              "Cache-Control: no-store\r\n\r\n",
              answer.code, answer.code == 200 ? "OK" : "Service Unavailable", answer.content_type,
              answer.body.size());
    mg_write(connection, answer.body.data(), answer.body.size());
    return true;
  }

 private:
  const std::function<Answer()> make_;
};

Answer HealthAnswer(const absl::Status& status) {
  if (status.ok()) return {.body = "ok\n"};
  return {.code = 503, .body = absl::StrCat(status.message(), "\n")};
}

Answer MetricsAnswer(const Metrics& metrics) {
  return {.content_type = "text/plain; version=0.0.4; charset=utf-8",
          .body = prometheus::TextSerializer().Serialize(metrics.Collect())};
}

// A scrape, a probe, and one that hangs.
constexpr char kThreads[] = "4";
constexpr char kRequestTimeoutMillis[] = "5000";

class CivetMetricsServer final : public MetricsServer {
 public:
  CivetMetricsServer(const std::string& address, const std::shared_ptr<Metrics>& metrics)
      : metrics_page_([metrics] { return MetricsAnswer(*metrics); }),
        live_page_([metrics] { return HealthAnswer(metrics->Live()); }),
        ready_page_([metrics] { return HealthAnswer(metrics->Ready()); }),
        server_({"listening_ports", address, "num_threads", kThreads, "request_timeout_ms",
                 kRequestTimeoutMillis}) {
    // "$": the path and no other that begins so.
    server_.addHandler("/metrics$", metrics_page_);
    server_.addHandler("/healthz$", live_page_);
    server_.addHandler("/readyz$", ready_page_);
  }

  // CivetServer's own call is not const.
  int port() const override { return const_cast<CivetServer&>(server_).getListeningPorts().at(0); }

 private:
  Page metrics_page_, live_page_, ready_page_;
  CivetServer server_;  // last: its threads use the pages
};

}  // namespace

absl::StatusOr<std::unique_ptr<MetricsServer>> MetricsServer::Start(
    const std::string& address, const std::shared_ptr<Metrics>& metrics) {
  try {
    return std::make_unique<CivetMetricsServer>(address, metrics);
  } catch (const CivetException&) {  // its only way to say that it can not listen
    return absl::InvalidArgumentError(
        absl::StrCat("metrics_address: can not listen on ", address,
                     "; is the port taken? Give another host:port, or \"\" for no metrics"));
  }
}

}  // namespace eidetic
