#include "server/flags.h"

#include <limits>

#include "absl/flags/flag.h"
#include "absl/strings/str_cat.h"
#include "server/convert.h"
#include "server/field_check.h"

ABSL_FLAG(std::string, model, "",
          "folder with config.json, tokenizer.json and *.safetensors; "
          "empty: $EIDETIC_MODEL, then the demo model that comes with the server");
ABSL_FLAG(std::string, model_name, "",
          "the model is served as models/<this>; empty: the folder's name");
ABSL_FLAG(bool, random_weights, false,
          "for measurement only: serve the model of --config with random weights, whose answers "
          "mean nothing; the tokenizer is --model's");
ABSL_FLAG(std::string, config, "",
          "with --random_weights: the config.json, of any file name, which also names the model");
ABSL_FLAG(std::string, address, eidetic::ServerOptions().address,
          "host:port to serve gRPC on; port 0: the system chooses");
ABSL_FLAG(std::string, metrics_address, "127.0.0.1:9464",
          "host:port to serve /metrics on for Prometheus; empty: no metrics");
ABSL_FLAG(std::vector<std::string>, metrics_tenants, {},
          "tenants whose answers and tokens are counted under their own names, 64 at most; all "
          "others are counted as 'other'");
ABSL_FLAG(std::string, log_format, "text",
          "what standard error gets: text, or json: one object a line");
ABSL_FLAG(std::string, data_folder, "",
          "where sessions are kept, so that they outlive the process; empty: they do not");
ABSL_FLAG(std::string, adapter_folder, "",
          "folder with one folder a tenant, whose folders hold adapters in PEFT's form that the "
          "tenant may load while the server serves; empty: none can be loaded");
ABSL_FLAG(std::string, port_file, "", "write the port in use to this file once RPCs are served");
ABSL_FLAG(std::string, device, eidetic::BackendOptions().device,
          "what computes: cpu, cuda:N, or auto: cuda:0 where it works, else the CPU");
ABSL_FLAG(bool, cuda_float32, eidetic::CudaBackendOptions().float32,
          "on a GPU compute in float32 instead of bf16: slow, to compare with the CPU");
ABSL_FLAG(bool, batch_invariant, eidetic::CudaBackendOptions().batch_invariant,
          "on a GPU: tokens do not depend on what else is in the batch, bitwise; slower");
ABSL_FLAG(bool, cuda_bf16_state, eidetic::CudaBackendOptions().bf16_state,
          "on a GPU: SSM states in bf16 instead of float32: half their memory; tokens then depend "
          "in bits on how the work was cut into steps");
ABSL_FLAG(
    bool, enable_reflection, eidetic::ServerOptions().enable_reflection,
    "serve grpc.reflection, so that tools can list the services; it asks nobody who they are");

ABSL_FLAG(
    std::string, tls_certificate, "",
    "PEM file with the server's certificate chain, read again when it changes; empty: no TLS");
ABSL_FLAG(std::string, tls_key, "", "PEM file with the private key of --tls_certificate");
ABSL_FLAG(std::string, tls_client_ca, "",
          "PEM file with the CAs of client certificates, which every client must then have");
ABSL_FLAG(std::string, api_keys, "",
          "JSON file with the hashes of API keys and the names of client certificates, and whose "
          "they are ('eidetic keys new' makes an entry); read again when it changes");
ABSL_FLAG(std::string, jwks, "",
          "JSON Web Key Set with the public keys of tokens (RS256, ES256); read again when it "
          "changes");
ABSL_FLAG(std::string, jwt_issuer, "", "with --jwks: the 'iss' that tokens must have");
ABSL_FLAG(std::string, jwt_audience, "", "with --jwks: the 'aud' that tokens must name");
ABSL_FLAG(bool, allow_anonymous, eidetic::IdentityOptions().allow_anonymous,
          "serve whoever reaches the port, as every tenant, on an address that is not loopback");

ABSL_FLAG(int32_t, threads, eidetic::CpuBackendOptions().threads,
          "threads that compute; 0: one a core");
ABSL_FLAG(int64_t, memory_bytes, 0,
          "memory for pages, index, state and activations, in bytes; on a GPU for the weights "
          "too; 0: 16 GiB on the CPU, all that is free on a GPU");
ABSL_FLAG(int32_t, block_tokens, eidetic::EngineLimits().block_tokens,
          "S: tokens in a block of memory; a multiple of 16, at most 256");
ABSL_FLAG(int32_t, query_chunk_tokens, eidetic::EngineLimits().query_chunk_tokens,
          "C: appended tokens that share one choice of span, at most");
ABSL_FLAG(int32_t, max_pages, eidetic::EngineLimits().memory.max_pages,
          "pages of keys and values, over all sessions and attention layers");
ABSL_FLAG(int32_t, max_host_pages, eidetic::EngineLimits().memory.max_host_pages,
          "on a GPU: further pages in pinned host memory; when the device's are used up, blocks "
          "that sessions reach through retrieval alone move there and are read in place");
ABSL_FLAG(int32_t, max_promoted_pages, eidetic::EngineLimits().memory.max_promoted_pages,
          "with --max_host_pages: of --max_pages, those that may hold copies of pages in host "
          "memory that retrieval chose; 0: none are made");
ABSL_FLAG(int64_t, max_promoted_bytes_per_step,
          eidetic::EngineLimits().memory.max_promoted_bytes_per_step,
          "bytes of such copies that are made beside one step");
ABSL_FLAG(
    double, device_high_mark, eidetic::EngineLimits().marks.device_high,
    "share of --max_pages; when more are used, sessions that rested longest give pages to the "
    "host, and then go to the disk");
ABSL_FLAG(double, device_low_mark, eidetic::EngineLimits().marks.device_low,
          "until no more than this share is used");
ABSL_FLAG(double, host_high_mark, eidetic::EngineLimits().marks.host_high,
          "share of --max_host_pages; when more are used, sessions that have some and rested "
          "longest go to the disk");
ABSL_FLAG(double, host_low_mark, eidetic::EngineLimits().marks.host_low,
          "until no more than this share is used");
ABSL_FLAG(int32_t, max_state_slots, eidetic::EngineLimits().memory.max_state_slots,
          "recurrent states; a session needs one, and another while it works");
ABSL_FLAG(int32_t, max_batch_sequences, eidetic::EngineLimits().plan.max_batch_sequences,
          "sequences in one step");
ABSL_FLAG(int32_t, max_batch_tokens, eidetic::EngineLimits().plan.max_batch_tokens,
          "tokens in one step; at least query_chunk_tokens");
ABSL_FLAG(int32_t, max_sessions, eidetic::EngineLimits().max_sessions, "sessions that may exist");
ABSL_FLAG(std::string, tenant_quotas, "",
          "JSON file with what each tenant may take (README, 'Many tenants'); read again when it "
          "changes");
ABSL_FLAG(int32_t, max_tenant_sequences, eidetic::EngineLimits().max_tenant_sequences,
          "requests of one tenant that may be running or queued");
ABSL_FLAG(int32_t, max_sequences, eidetic::EngineLimits().max_sequences,
          "requests that may run or wait; more are answered RESOURCE_EXHAUSTED");
ABSL_FLAG(absl::Duration, max_memory_wait, eidetic::EngineLimits().max_memory_wait,
          "a request for which there is no memory now waits so long for others to end or to sleep, "
          "then it is answered RESOURCE_EXHAUSTED; 0: at once");
ABSL_FLAG(int32_t, max_generated_tokens, eidetic::EngineLimits().max_generated_tokens,
          "tokens that one request may generate");
ABSL_FLAG(int32_t, max_score_tokens, eidetic::EngineLimits().max_score_tokens,
          "tokens that one request may score");
ABSL_FLAG(int32_t, max_reader_lag_events, eidetic::EngineLimits().max_reader_lag_events,
          "a stream that is further behind pauses its sequence; tokens that are not durable yet "
          "count");
ABSL_FLAG(int64_t, max_journal_waiting_bytes, eidetic::EngineLimits().max_journal_waiting_bytes,
          "changes that may wait for the disk; what would make more is answered UNAVAILABLE");
ABSL_FLAG(int32_t, max_requests_per_session, eidetic::EngineLimits().max_requests_per_session,
          "request ids that a session remembers");
ABSL_FLAG(int32_t, max_snapshots_per_session, eidetic::EngineLimits().max_snapshots_per_session,
          "named points that a session may keep");
ABSL_FLAG(int32_t, max_adapters, eidetic::EngineLimits().max_adapters,
          "adapters that may be loaded, of all tenants");
ABSL_FLAG(int64_t, max_adapter_bytes, eidetic::EngineLimits().max_adapter_bytes,
          "size of one adapter's tensors");
ABSL_FLAG(absl::Duration, expire_after, eidetic::EngineLimits().expire_after,
          "a session that is made without a time of its own is deleted, with all that is kept of "
          "it, when nothing used it for so long; 0: never");
ABSL_FLAG(absl::Duration, request_retention, eidetic::EngineLimits().request_retention,
          "how long a request id is remembered");

ABSL_FLAG(absl::Duration, checkpoint_idle, eidetic::EngineLimits().keeping.checkpoint_idle,
          "with --data_folder: a session's memory is written there when it rested so long");
ABSL_FLAG(int64_t, checkpoint_tokens, eidetic::EngineLimits().keeping.checkpoint_tokens,
          "and while it works, each time that so many tokens more were computed");
ABSL_FLAG(absl::Duration, sleep_after, eidetic::EngineLimits().keeping.sleep_after,
          "a session that rested so long gives its memory back, and is loaded when it is next "
          "needed; 0: never, unless memory runs out");
ABSL_FLAG(int32_t, max_checkpoints_under_way,
          eidetic::EngineLimits().keeping.max_checkpoints_under_way,
          "sessions whose memory is written at once; each holds a state in main memory meanwhile");
ABSL_FLAG(int32_t, max_loads_under_way, eidetic::EngineLimits().keeping.max_loads_under_way,
          "sessions that are loaded at once, each by a thread of its own");
ABSL_FLAG(absl::Duration, checkpoint_retry, eidetic::EngineLimits().keeping.checkpoint_retry,
          "after a checkpoint that could not be written, the next try");

ABSL_FLAG(int32_t, max_state_checkpoints, eidetic::EngineLimits().memory.points.max_points,
          "past states that a session keeps in main memory and with its checkpoints, spaced "
          "geometrically, so that a rewind computes little again; 0: none");
ABSL_FLAG(int64_t, state_checkpoint_bytes, eidetic::EngineLimits().memory.points.max_bytes,
          "main memory for past states of all sessions; the session with most gives first");
ABSL_FLAG(int64_t, state_checkpoint_tokens, eidetic::EngineLimits().memory.points.spacing_tokens,
          "from one past state to the next, at least");

ABSL_FLAG(int32_t, max_request_bytes, eidetic::ServerOptions().max_request_bytes,
          "size of one request message; larger ones are refused unread");
ABSL_FLAG(int64_t, max_import_bytes, eidetic::ServerOptions().max_import_bytes,
          "size of one import, which waits in memory until it is whole; four run at once at most");
ABSL_FLAG(int32_t, max_streams_per_connection, eidetic::ServerOptions().max_streams_per_connection,
          "RPCs that one connection may run at once");
ABSL_FLAG(int32_t, max_message_tokens, eidetic::ServerOptions().max_message_tokens,
          "tokens that one message of an answer carries at most, where a client takes several and "
          "its stream is behind; 1: always a message a token");
ABSL_FLAG(int32_t, stream_threads, eidetic::ServerOptions().stream_threads,
          "threads that write generated tokens to their streams");
ABSL_FLAG(absl::Duration, keepalive_time, eidetic::ServerOptions().keepalive_time,
          "silence on a connection before its client is pinged");
ABSL_FLAG(absl::Duration, heartbeat_timeout, eidetic::ServerOptions().heartbeat_timeout,
          "health is NOT_SERVING when the engine made no turn for so long");
ABSL_FLAG(absl::Duration, slow_reader_timeout, eidetic::ServerOptions().slow_reader_timeout,
          "an answer whose client took nothing of it for so long is cut; it can be resumed");
ABSL_FLAG(absl::Duration, shutdown_grace, eidetic::ServerOptions().shutdown_grace,
          "after SIGTERM running RPCs get so long to end");

namespace eidetic {
namespace {

// A flag's value into its place, if it is in its range.
template <typename T>
absl::Status Take(const absl::Flag<T>& flag, int64_t low, int64_t high, auto* to) {
  const T value = absl::GetFlag(flag);
  const absl::Status status =
      CheckRange("--" + std::string(absl::GetFlagReflectionHandle(flag).Name()), value, low, high);
  if (status.ok()) *to = value;
  return status;
}

absl::Status Take(const absl::Flag<absl::Duration>& flag, absl::Duration low, absl::Duration* to) {
  const absl::Duration value = absl::GetFlag(flag);
  if (value < low || value > absl::Hours(24 * 365)) {
    return InvalidField("--" + std::string(absl::GetFlagReflectionHandle(flag).Name()),
                        absl::StrCat("is ", absl::FormatDuration(value), "; it must be from ",
                                     absl::FormatDuration(low), " to a year"));
  }
  *to = value;
  return absl::OkStatus();
}

absl::Status First(std::initializer_list<absl::Status> statuses) {
  for (const absl::Status& status : statuses) {
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

constexpr int64_t kMany = std::numeric_limits<int32_t>::max();

absl::Status TakeLimits(EngineLimits* to) {
  absl::Status status = First({
      Take(FLAGS_block_tokens, 16, 256, &to->block_tokens),
      Take(FLAGS_query_chunk_tokens, 1, 1 << 20, &to->query_chunk_tokens),
      Take(FLAGS_max_pages, 1, kMany, &to->memory.max_pages),
      Take(FLAGS_max_host_pages, 0, kMany, &to->memory.max_host_pages),
      Take(FLAGS_max_promoted_pages, 0, kMany, &to->memory.max_promoted_pages),
      Take(FLAGS_max_promoted_bytes_per_step, 0, kMany, &to->memory.max_promoted_bytes_per_step),
      Take(FLAGS_max_state_slots, 2, kMany, &to->memory.max_state_slots),
      Take(FLAGS_max_state_checkpoints, 0, 1 << 10, &to->memory.points.max_points),
      Take(FLAGS_state_checkpoint_bytes, 0, std::numeric_limits<int64_t>::max(),
           &to->memory.points.max_bytes),
      Take(FLAGS_state_checkpoint_tokens, 1, std::numeric_limits<int64_t>::max(),
           &to->memory.points.spacing_tokens),
      Take(FLAGS_max_batch_sequences, 1, 1 << 16, &to->plan.max_batch_sequences),
      Take(FLAGS_max_batch_tokens, 1, 1 << 20, &to->plan.max_batch_tokens),
      Take(FLAGS_max_sessions, 1, kMany, &to->max_sessions),
      Take(FLAGS_max_sequences, 1, 1 << 20, &to->max_sequences),
      Take(FLAGS_max_tenant_sequences, 1, 1 << 20, &to->max_tenant_sequences),
      Take(FLAGS_max_memory_wait, absl::ZeroDuration(), &to->max_memory_wait),
      Take(FLAGS_max_generated_tokens, 1, kMany, &to->max_generated_tokens),
      Take(FLAGS_max_score_tokens, 1, kMany, &to->max_score_tokens),
      Take(FLAGS_max_reader_lag_events, 1, 1 << 20, &to->max_reader_lag_events),
      Take(FLAGS_max_journal_waiting_bytes, 1, std::numeric_limits<int64_t>::max(),
           &to->max_journal_waiting_bytes),
      Take(FLAGS_max_requests_per_session, 1, 1 << 20, &to->max_requests_per_session),
      Take(FLAGS_max_snapshots_per_session, 0, 1 << 20, &to->max_snapshots_per_session),
      Take(FLAGS_max_adapters, 0, 1 << 16, &to->max_adapters),
      Take(FLAGS_max_adapter_bytes, 0, int64_t{1} << 40, &to->max_adapter_bytes),
      Take(FLAGS_expire_after, absl::ZeroDuration(), &to->expire_after),
      Take(FLAGS_request_retention, absl::ZeroDuration(), &to->request_retention),
      Take(FLAGS_checkpoint_idle, absl::ZeroDuration(), &to->keeping.checkpoint_idle),
      Take(FLAGS_checkpoint_tokens, 1, std::numeric_limits<int64_t>::max(),
           &to->keeping.checkpoint_tokens),
      Take(FLAGS_sleep_after, absl::ZeroDuration(), &to->keeping.sleep_after),
      Take(FLAGS_max_checkpoints_under_way, 1, 1 << 10, &to->keeping.max_checkpoints_under_way),
      Take(FLAGS_max_loads_under_way, 1, 64, &to->keeping.max_loads_under_way),
      Take(FLAGS_checkpoint_retry, absl::ZeroDuration(), &to->keeping.checkpoint_retry),
  });
  if (!status.ok()) return status;
  if (to->block_tokens % 16 != 0) {
    return InvalidField("--block_tokens", "must be a multiple of 16");
  }
  if (to->plan.max_batch_tokens < to->query_chunk_tokens) {
    return InvalidField("--max_batch_tokens",
                        absl::StrCat("is below --query_chunk_tokens, ", to->query_chunk_tokens,
                                     "; a step must hold a chunk: raise it"));
  }
  return absl::OkStatus();
}

absl::Status TakeMarks(const absl::Flag<double>& high, const absl::Flag<double>& low,
                       double* to_high, double* to_low) {
  *to_high = absl::GetFlag(high);
  *to_low = absl::GetFlag(low);
  if (*to_low >= 0 && *to_low <= *to_high && *to_high <= 1) return absl::OkStatus();
  return InvalidField("--" + std::string(absl::GetFlagReflectionHandle(high).Name()),
                      "and its low mark must be shares from 0 to 1, the low one no higher");
}

absl::Status TakeObservation(CommandLine* to) {
  // A tenant's label is a series of its own in several metrics.
  constexpr size_t kMaxTenants = 64;
  const std::vector<std::string> tenants = absl::GetFlag(FLAGS_metrics_tenants);
  if (tenants.size() > kMaxTenants) {
    return InvalidField("--metrics_tenants",
                        absl::StrCat("names ", tenants.size(), "; it may name ", kMaxTenants));
  }
  to->metrics_tenants = {tenants.begin(), tenants.end()};
  const std::string format = absl::GetFlag(FLAGS_log_format);
  if (format != "text" && format != "json") {
    return InvalidField("--log_format", "must be text or json");
  }
  to->log_as_json = format == "json";
  return absl::OkStatus();
}

absl::Status TakeRandomConfig(std::string* to) {
  const bool random = absl::GetFlag(FLAGS_random_weights);
  *to = absl::GetFlag(FLAGS_config);
  if (random && to->empty()) {
    return InvalidField("--config", "is empty; --random_weights needs a config.json");
  }
  if (!random && !to->empty()) {
    return InvalidField("--config",
                        "is for --random_weights alone; a model's folder goes to --model");
  }
  return absl::OkStatus();
}

IdentityOptions Identity() {
  return {.tls_certificate = absl::GetFlag(FLAGS_tls_certificate),
          .tls_key = absl::GetFlag(FLAGS_tls_key),
          .tls_client_ca = absl::GetFlag(FLAGS_tls_client_ca),
          .api_keys = absl::GetFlag(FLAGS_api_keys),
          .jwks = absl::GetFlag(FLAGS_jwks),
          .jwt_issuer = absl::GetFlag(FLAGS_jwt_issuer),
          .jwt_audience = absl::GetFlag(FLAGS_jwt_audience),
          .allow_anonymous = absl::GetFlag(FLAGS_allow_anonymous)};
}

absl::Status TakeServer(ServerOptions* to) {
  to->address = absl::GetFlag(FLAGS_address);
  to->enable_reflection = absl::GetFlag(FLAGS_enable_reflection);
  to->identity = Identity();
  to->tenant_quotas = absl::GetFlag(FLAGS_tenant_quotas);
  return First({
      CheckIdentityOptions(to->identity, to->address),
      Take(FLAGS_max_request_bytes, 1024, kMany, &to->max_request_bytes),
      Take(FLAGS_max_import_bytes, 1024, int64_t{1} << 40, &to->max_import_bytes),
      Take(FLAGS_max_streams_per_connection, 1, kMany, &to->max_streams_per_connection),
      Take(FLAGS_max_message_tokens, 1, kMaxMessageTokens, &to->max_message_tokens),
      Take(FLAGS_stream_threads, 1, 256, &to->stream_threads),
      Take(FLAGS_keepalive_time, absl::Seconds(1), &to->keepalive_time),
      Take(FLAGS_heartbeat_timeout, absl::Milliseconds(100), &to->heartbeat_timeout),
      Take(FLAGS_slow_reader_timeout, absl::Milliseconds(100), &to->slow_reader_timeout),
      Take(FLAGS_shutdown_grace, absl::ZeroDuration(), &to->shutdown_grace),
  });
}

absl::Status TakeBackend(BackendOptions* to) {
  to->device = absl::GetFlag(FLAGS_device);
  to->cuda.float32 = absl::GetFlag(FLAGS_cuda_float32);
  to->cuda.batch_invariant = absl::GetFlag(FLAGS_batch_invariant);
  to->cuda.bf16_state = absl::GetFlag(FLAGS_cuda_bf16_state);
  if (absl::Status status = Take(FLAGS_threads, 0, 4096, &to->cpu.threads); !status.ok()) {
    return status;
  }
  if (absl::GetFlag(FLAGS_memory_bytes) == 0) return absl::OkStatus();
  const absl::Status status =
      Take(FLAGS_memory_bytes, 1 << 20, std::numeric_limits<int64_t>::max(), &to->cpu.memory_bytes);
  to->cuda.memory_bytes = to->cpu.memory_bytes;
  return status;
}

}  // namespace

absl::StatusOr<CommandLine> CommandLineFromFlags() {
  CommandLine line;
  line.model_folder = absl::GetFlag(FLAGS_model);
  line.model_name = absl::GetFlag(FLAGS_model_name);
  line.metrics_address = absl::GetFlag(FLAGS_metrics_address);
  line.port_file = absl::GetFlag(FLAGS_port_file);
  line.data_folder = absl::GetFlag(FLAGS_data_folder);
  line.adapter_folder = absl::GetFlag(FLAGS_adapter_folder);
  const absl::Status status = First({
      TakeRandomConfig(&line.random_config),
      TakeObservation(&line),
      TakeBackend(&line.backend),
      TakeLimits(&line.limits),
      TakeMarks(FLAGS_device_high_mark, FLAGS_device_low_mark, &line.limits.marks.device_high,
                &line.limits.marks.device_low),
      TakeMarks(FLAGS_host_high_mark, FLAGS_host_low_mark, &line.limits.marks.host_high,
                &line.limits.marks.host_low),
      TakeServer(&line.server),
  });
  if (!status.ok()) return status;
  return line;
}

}  // namespace eidetic
