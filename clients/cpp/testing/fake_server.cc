#include "clients/cpp/testing/fake_server.h"

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

#include "eidetic/v1/generation_service.grpc.pb.h"
#include "eidetic/v1/model_service.grpc.pb.h"
#include "eidetic/v1/session_service.grpc.pb.h"

namespace eidetic::client::testing {
namespace {

constexpr int kItemsPerPage = 2;  // few, so that lists have pages

grpc::Status NotFound(const std::string& name) {
  return {grpc::StatusCode::NOT_FOUND, "name: no " + name};
}

std::string TextOfContent(const v1::Content& content) {
  if (content.has_messages()) {
    std::string text;
    for (const auto& message : content.messages().messages()) {
      text += message.role() + ": " + message.content() + "\n";
    }
    return text;
  }
  return content.text();
}

}  // namespace

class FakeServer::Sessions final : public v1::SessionService::Service {
 public:
  explicit Sessions(FakeServer* fake) : fake_(*fake) {}

  grpc::Status CreateSession(grpc::ServerContext*, const v1::CreateSessionRequest* request,
                             v1::Session* session) override {
    std::lock_guard lock(fake_.mutex_);
    if (auto fault = fake_.TakeFault(); !fault.ok()) return fault;
    return Insert(request->parent(), request->session_id(), {request->session(), "", {}}, session);
  }

  grpc::Status GetSession(grpc::ServerContext*, const v1::GetSessionRequest* request,
                          v1::Session* session) override {
    std::lock_guard lock(fake_.mutex_);
    if (auto fault = fake_.TakeFault(); !fault.ok()) return fault;
    Record* record = fake_.Find(request->name());
    if (record == nullptr) return NotFound(request->name());
    *session = record->info;
    return grpc::Status::OK;
  }

  grpc::Status ListSessions(grpc::ServerContext*, const v1::ListSessionsRequest* request,
                            v1::ListSessionsResponse* response) override {
    std::lock_guard lock(fake_.mutex_);
    for (auto it = fake_.records_.upper_bound(request->page_token()); it != fake_.records_.end();
         ++it) {
      if (response->sessions_size() == kItemsPerPage) {
        response->set_next_page_token(response->sessions(kItemsPerPage - 1).name());
        break;
      }
      *response->add_sessions() = it->second.info;
    }
    return grpc::Status::OK;
  }

  grpc::Status DeleteSession(grpc::ServerContext*, const v1::DeleteSessionRequest* request,
                             google::protobuf::Empty*) override {
    std::lock_guard lock(fake_.mutex_);
    return fake_.records_.erase(request->name()) == 1 ? grpc::Status::OK
                                                      : NotFound(request->name());
  }

  grpc::Status ForkSession(grpc::ServerContext*, const v1::ForkSessionRequest* request,
                           v1::Session* session) override {
    std::lock_guard lock(fake_.mutex_);
    if (auto fault = fake_.TakeFault(); !fault.ok()) return fault;
    Record* parent = fake_.Find(request->name());
    if (parent == nullptr) return NotFound(request->name());
    Record child = *parent;
    child.info.mutable_attention()->MergeFrom(request->attention());
    const std::string tenant = request->name().substr(0, request->name().find("/sessions/"));
    return Insert(tenant, request->session_id(), std::move(child), session);
  }

  grpc::Status AppendSession(grpc::ServerContext*,
                             grpc::ServerReaderWriter<v1::AppendSessionResponse,
                                                      v1::AppendSessionRequest>* stream) override {
    std::optional<int> break_after = std::exchange(fake_.faults.break_append_after, {});
    const bool lose_last = std::exchange(fake_.faults.lose_last_answer, false);
    std::string name;
    v1::AppendSessionRequest request;
    for (int taken = 0; !(break_after && taken == *break_after) && stream->Read(&request);) {
      v1::AppendSessionResponse response;
      if (taken == 0) name = request.name();
      if (grpc::Status status = Take(name, request, &response); !status.ok()) return status;
      response.set_requests_acknowledged(++taken);
      if (!(break_after && taken == *break_after && lose_last)) stream->Write(response);
    }
    if (break_after) return {grpc::StatusCode::UNAVAILABLE, "broken by the test"};
    return grpc::Status::OK;
  }

  grpc::Status SearchMemory(grpc::ServerContext*, const v1::SearchMemoryRequest* request,
                            v1::SearchMemoryResponse* response) override {
    std::lock_guard lock(fake_.mutex_);
    Record* record = fake_.Find(request->name());
    if (record == nullptr) return NotFound(request->name());
    const size_t found = record->text.find(request->query().text());
    if (found == std::string::npos) return grpc::Status::OK;
    v1::Passage* passage = response->add_passages();
    passage->set_begin_position(found);
    passage->set_end_position(found + request->query().text().size());
    passage->set_text(request->query().text());
    passage->set_mass(0.5);
    return grpc::Status::OK;
  }

 private:
  grpc::Status Insert(const std::string& tenant, std::string id, Record record,
                      v1::Session* session) {
    if (id.empty()) id = "drawn-" + std::to_string(++fake_.drawn_ids_);
    record.info.set_name(tenant + "/sessions/" + id);
    record.info.set_model("models/fake");
    *session = record.info;
    const bool inserted = fake_.records_.emplace(record.info.name(), std::move(record)).second;
    if (!inserted) return {grpc::StatusCode::ALREADY_EXISTS, "session_id: taken"};
    return grpc::Status::OK;
  }

  grpc::Status Take(const std::string& name, const v1::AppendSessionRequest& request,
                    v1::AppendSessionResponse* response) {
    std::lock_guard lock(fake_.mutex_);
    if (auto fault = fake_.TakeFault(); !fault.ok()) return fault;
    Record* record = fake_.Find(name);
    if (record == nullptr) return NotFound(name);
    if (request.has_expected_position() && request.expected_position() != record->info.position()) {
      return {grpc::StatusCode::FAILED_PRECONDITION, "expected_position: it stands elsewhere"};
    }
    record->text += TextOfContent(request.content());
    record->info.set_position(record->text.size());
    record->info.set_computed_position(record->text.size());
    response->set_position(record->text.size());
    response->set_computed_position(record->text.size());
    return grpc::Status::OK;
  }

  FakeServer& fake_;
};

class FakeServer::Generation final : public v1::GenerationService::Service {
 public:
  explicit Generation(FakeServer* fake) : fake_(*fake) {}

  grpc::Status Generate(grpc::ServerContext* context, const v1::GenerateRequest* request,
                        grpc::ServerWriter<v1::GenerateResponse>* writer) override {
    const std::optional<int> break_after = std::exchange(fake_.faults.break_generate_after, {});
    const bool hang = std::exchange(fake_.faults.hang_generate, false);
    Answer answer;
    int64_t position = 0;
    if (grpc::Status status = Prepare(*request, &answer, &position); !status.ok()) return status;

    v1::GenerateResponse start;
    start.mutable_start()->set_position(position);
    writer->Write(start);
    const int64_t size = answer.text.size();
    const int64_t most = std::min<int64_t>(fake_.message_tokens, request->max_message_tokens());
    const int64_t stop = break_after ? std::min<int64_t>(*break_after, size) : size;
    for (int64_t i = request->resume_from(), end; i < stop; i = end) {
      end = std::min(i + std::max<int64_t>(1, most), stop);
      writer->Write(Tokens(answer.text, i, end));
      while (hang && !context->IsCancelled()) {
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
      }
      if (context->IsCancelled()) {
        ++fake_.cancelled_answers_;
        return grpc::Status::CANCELLED;
      }
    }
    if (break_after) return {grpc::StatusCode::UNAVAILABLE, "broken by the test"};
    v1::GenerateResponse finish;
    finish.mutable_finish()->set_finish_reason(v1::FINISH_REASON_STOP_TOKEN);
    finish.mutable_finish()->set_position(position + size);
    for (const auto& passage : answer.passages) *finish.mutable_finish()->add_passages() = passage;
    writer->Write(finish);
    return grpc::Status::OK;
  }

  grpc::Status Score(grpc::ServerContext*, const v1::ScoreRequest* request,
                     v1::ScoreResponse* response) override {
    std::lock_guard lock(fake_.mutex_);
    if (auto fault = fake_.TakeFault(); !fault.ok()) return fault;
    const int32_t tokens = TextOfContent(request->content()).size();
    response->set_scored_tokens(tokens);
    response->set_total_logprob(-1.5 * tokens);
    return grpc::Status::OK;
  }

  grpc::Status Tokenize(grpc::ServerContext*, const v1::TokenizeRequest* request,
                        v1::TokenizeResponse* response) override {
    for (unsigned char byte : TextOfContent(request->content())) response->add_ids(byte);
    return grpc::Status::OK;
  }

  grpc::Status Detokenize(grpc::ServerContext*, const v1::DetokenizeRequest* request,
                          v1::DetokenizeResponse* response) override {
    for (int32_t id : request->ids()) response->mutable_text()->push_back(id);
    return grpc::Status::OK;
  }

 private:
  // The message that tells of tokens [begin, end).
  static v1::GenerateResponse Tokens(const std::string& text, int64_t begin, int64_t end) {
    v1::GenerateResponse response;
    for (int64_t i = begin; i < end; ++i) {
      v1::TokenDelta& delta =
          end - begin == 1 ? *response.mutable_delta() : *response.mutable_deltas()->add_tokens();
      delta.set_sequence_number(i + 1);
      delta.set_text(text.substr(i, 1));
    }
    return response;
  }

  // The answer, made now or, for a known request id, made before.
  grpc::Status Prepare(const v1::GenerateRequest& request, Answer* answer, int64_t* position) {
    std::lock_guard lock(fake_.mutex_);
    fake_.generate_requests_.push_back(request);
    if (auto fault = fake_.TakeFault(); !fault.ok()) return fault;
    if (request.session().empty()) {
      *answer = fake_.answer(TextOfContent(request.prompt()), v1::ATTENTION_POLICY_SE_ATTN);
      return grpc::Status::OK;
    }
    Record* record = fake_.Find(request.session());
    if (record == nullptr) return NotFound(request.session());
    const auto [known, is_new] = record->answers.try_emplace(request.request_id());
    if (is_new) {
      record->text += TextOfContent(request.prompt());
      known->second = fake_.answer(record->text, record->info.attention().policy());
      record->info.set_position(record->text.size());
    }
    *answer = known->second;
    *position = record->info.position();
    return grpc::Status::OK;
  }

  FakeServer& fake_;
};

class FakeServer::Models final : public v1::ModelService::Service {
 public:
  explicit Models(FakeServer* fake) : fake_(*fake) {}

 private:
  grpc::Status ListModels(grpc::ServerContext* context, const v1::ListModelsRequest*,
                          v1::ListModelsResponse* response) override {
    const auto shown = context->client_metadata().find("authorization");
    const bool none = shown == context->client_metadata().end();
    std::lock_guard lock(fake_.mutex_);
    fake_.authorization_ = none ? "" : std::string(shown->second.data(), shown->second.size());
    response->add_models()->set_name("models/fake");
    return grpc::Status::OK;
  }

  grpc::Status LoadAdapter(grpc::ServerContext*, const v1::LoadAdapterRequest* request,
                           v1::Adapter* adapter) override {
    adapter->set_name(request->parent() + "/adapters/" + request->adapter_id());
    adapter->set_folder(request->folder());
    std::lock_guard lock(fake_.mutex_);
    fake_.adapters_[adapter->name()] = *adapter;
    return grpc::Status::OK;
  }

  grpc::Status UnloadAdapter(grpc::ServerContext*, const v1::UnloadAdapterRequest* request,
                             google::protobuf::Empty*) override {
    std::lock_guard lock(fake_.mutex_);
    return fake_.adapters_.erase(request->name()) > 0 ? grpc::Status::OK
                                                      : NotFound(request->name());
  }

  grpc::Status ListAdapters(grpc::ServerContext*, const v1::ListAdaptersRequest*,
                            v1::ListAdaptersResponse* response) override {
    std::lock_guard lock(fake_.mutex_);
    for (const auto& [name, adapter] : fake_.adapters_) *response->add_adapters() = adapter;
    return grpc::Status::OK;
  }

  grpc::Status GetModel(grpc::ServerContext*, const v1::GetModelRequest* request,
                        v1::Model* model) override {
    if (request->name() != "models/fake") return NotFound(request->name());
    model->set_name("models/fake");
    return grpc::Status::OK;
  }

  FakeServer& fake_;
};

FakeServer::FakeServer()
    : sessions_(std::make_unique<Sessions>(this)),
      generation_(std::make_unique<Generation>(this)),
      models_(std::make_unique<Models>(this)) {
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(sessions_.get());
  builder.RegisterService(generation_.get());
  builder.RegisterService(models_.get());
  server_ = builder.BuildAndStart();
  address_ = "127.0.0.1:" + std::to_string(port);
}

FakeServer::~FakeServer() { server_->Shutdown(std::chrono::system_clock::now()); }

grpc::Status FakeServer::TakeFault() {
  return std::exchange(faults.status, std::nullopt).value_or(grpc::Status::OK);
}

FakeServer::Record* FakeServer::Find(const std::string& name) {
  const auto it = records_.find(name);
  return it == records_.end() ? nullptr : &it->second;
}

bool FakeServer::AwaitCancelledAnswers(int count) const {
  for (int i = 0; i < 2000 && cancelled_answers_ < count; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return cancelled_answers_ == count;
}

std::optional<std::string> FakeServer::TextOf(const std::string& name) const {
  std::lock_guard lock(mutex_);
  const auto it = records_.find(name);
  if (it == records_.end()) return std::nullopt;
  return it->second.text;
}

std::vector<std::string> FakeServer::SessionNames() const {
  std::lock_guard lock(mutex_);
  std::vector<std::string> names;
  for (const auto& [name, record] : records_) names.push_back(name);
  return names;
}

std::vector<v1::GenerateRequest> FakeServer::generate_requests() const {
  std::lock_guard lock(mutex_);
  return generate_requests_;
}

}  // namespace eidetic::client::testing
