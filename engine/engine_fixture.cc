#include "engine/engine_fixture.h"

#include "absl/time/clock.h"

namespace eidetic {

std::string Told::text() const {
  std::string text;
  for (const TokenEvent& token : tokens) text += token.text;
  if (finish) text += finish->text;
  return text;
}

EngineLimits EngineTest::SmallLimits() {
  EngineLimits limits;
  limits.plan = {.max_batch_sequences = 8, .max_batch_tokens = 64};
  limits.memory = {.max_pages = 512, .max_state_slots = 32};
  limits.block_tokens = 16;
  limits.query_chunk_tokens = 32;
  return limits;
}

memory::SpanSettings EngineTest::SmallSettings() { return {.window_tokens = 32, .span_blocks = 4}; }

void EngineTest::Start(EngineLimits limits, FakeModel::Draw draw, EngineObserver* observer) {
  auto model = std::make_unique<FakeModel>(FakeTokenizer::kVocabSize + 7, std::move(draw));
  model_ = model.get();
  std::unique_ptr<memory::Journal> journal;
  if (!journal_.folder.empty()) {
    auto opened = memory::Journal::Open(journal_);
    ASSERT_TRUE(opened.ok()) << opened.status();
    journal = *std::move(opened);
  }
  std::unique_ptr<memory::ExtentStore> extents;
  if (!extents_.empty()) {
    auto opened = memory::ExtentStore::Open(files_, extents_, extent_limits_);
    ASSERT_TRUE(opened.ok()) << opened.status();
    extents = *std::move(opened);
  }
  auto engine = CreateEngine(
      {.model = std::move(model),
       .tokenizer = std::make_unique<FakeTokenizer>(),
       .arena = &arena_,
       .indexer = &indexer_,
       .host_arena = &host_arena_,
       .journal = std::move(journal),
       .extents = std::move(extents),
       .build = build_,
       .device_kind = device_kind_,
       .page_form = page_form_,
       .finds_late_pages = finds_late_pages_,
       .options = {.limits = limits, .observer = observer, .adapter_folder = adapter_folder_},
       .now = [this] { return absl::FromUnixSeconds(clock_seconds_.load()); }});
  ASSERT_TRUE(engine.ok()) << engine.status();
  engine_ = *std::move(engine);
}

void EngineTest::TearDown() {
  if (engine_) model_->Release();
  engine_.reset();
}

absl::StatusOr<SessionInfo> EngineTest::Create(std::string id, std::string request_id,
                                               std::string fingerprint, std::string adapter) {
  return Wait<absl::StatusOr<SessionInfo>>([&](auto done) {
    engine_->CreateSession(Name(id), SmallSettings(), adapter, std::nullopt, request_id,
                           fingerprint, done);
  });
}

absl::StatusOr<SessionInfo> EngineTest::Get(std::string id) {
  return Wait<absl::StatusOr<SessionInfo>>([&](auto done) { engine_->GetSession(Name(id), done); });
}

absl::StatusOr<SessionInfo> EngineTest::Fork(std::string parent, std::string child,
                                             std::function<void(memory::SpanSettings*)> edit,
                                             std::optional<AdapterChange> adapter) {
  return Wait<absl::StatusOr<SessionInfo>>([&](auto done) {
    engine_->ForkSession(Name(parent), Name(child), edit, adapter, "", "", std::nullopt, done);
  });
}

absl::Status EngineTest::Delete(std::string id, std::optional<memory::Position> expected_position) {
  return Wait<absl::Status>(
      [&](auto done) { engine_->DeleteSession(Name(id), expected_position, done); });
}

absl::StatusOr<SessionInfo> EngineTest::Rewind(std::string id, memory::Position position,
                                               std::optional<memory::Position> expected_position) {
  return Wait<absl::StatusOr<SessionInfo>>(
      [&](auto done) { engine_->RewindSession(Name(id), position, expected_position, done); });
}

absl::StatusOr<SnapshotInfo> EngineTest::Snapshot(std::string id, std::string snapshot) {
  return Wait<absl::StatusOr<SnapshotInfo>>([&](auto done) {
    engine_->SnapshotSession({Name(id), snapshot}, std::nullopt, done);
  });
}

absl::Status EngineTest::DeleteSnapshot(std::string id, std::string snapshot) {
  return Wait<absl::Status>([&](auto done) {
    engine_->DeleteSnapshot({Name(id), snapshot}, done);
  });
}

absl::StatusOr<SessionInfo> EngineTest::Restore(std::string id, std::string snapshot) {
  return Wait<absl::StatusOr<SessionInfo>>([&](auto done) {
    engine_->RestoreSession({Name(id), snapshot}, std::nullopt, done);
  });
}

absl::StatusOr<ExportedSession> EngineTest::Export(std::string id,
                                                   std::optional<std::string> snapshot) {
  return Wait<absl::StatusOr<ExportedSession>>(
      [&](auto done) { engine_->ExportSession(Name(id), snapshot, done); });
}

absl::StatusOr<SessionInfo> EngineTest::Import(std::string id, ExportedSession exported) {
  return Wait<absl::StatusOr<SessionInfo>>(
      [&](auto done) { engine_->ImportSession(Name(id), exported, done); });
}

absl::StatusOr<std::shared_ptr<AppendStream>> EngineTest::OpenAppend(std::string id) {
  return Wait<absl::StatusOr<std::shared_ptr<AppendStream>>>([&](auto done) {
    engine_->OpenAppend(
        Name(id), [](memory::Position, memory::Position) {}, done);
  });
}

absl::StatusOr<memory::Position> EngineTest::Append(
    AppendStream& stream, std::string_view text,
    std::optional<memory::Position> expected_position) {
  return Wait<absl::StatusOr<memory::Position>>(
      [&](auto done) { stream.Append(Ids(text), expected_position, done); });
}

absl::Status EngineTest::Drain(AppendStream& stream) {
  return Wait<absl::Status>([&](auto done) { stream.Drain(done); });
}

void EngineTest::Pour(std::string id, std::string_view text) {
  auto stream = OpenAppend(id);
  ASSERT_TRUE(stream.ok()) << stream.status();
  ASSERT_TRUE(Append(**stream, text).ok());
  ASSERT_TRUE(Drain(**stream).ok());
  stream->reset();
  ASSERT_TRUE(WaitUntilFree(id));
}

GenerateSpec EngineTest::Spec(std::string id, std::string_view prompt, int32_t max_tokens) {
  GenerateSpec spec;
  if (id.empty()) {
    spec.settings = SmallSettings();
  } else {
    spec.session = Name(id);
  }
  spec.tenant = "acme";
  spec.prompt = Ids(prompt);
  spec.seed = 1;
  spec.max_tokens = max_tokens;
  return spec;
}

absl::StatusOr<EngineTest::Reader> EngineTest::Generate(GenerateSpec spec) {
  return Wait<absl::StatusOr<Reader>>([&](auto done) { engine_->Generate(spec, done); });
}

Told EngineTest::Read(GenerationReader& reader, size_t tokens) {
  Told told;
  while (told.tokens.size() < tokens) {
    auto ready = std::make_shared<absl::Notification>();
    reader.NotifyWhenReady([ready] { ready->Notify(); });
    if (!ready->WaitForNotificationWithTimeout(kPatience)) {
      told.error = absl::DeadlineExceededError("no event came");
      return told;
    }
    GenerationEvent event = *reader.TryNext();
    if (auto* start = std::get_if<GenerationStart>(&event)) told.start = *start;
    if (auto* token = std::get_if<TokenEvent>(&event)) told.tokens.push_back(*token);
    if (auto* finish = std::get_if<GenerationFinish>(&event)) told.finish = *finish;
    if (auto* error = std::get_if<absl::Status>(&event)) told.error = *error;
    if (told.finish || !told.error.ok()) break;
  }
  return told;
}

Told EngineTest::Answer(GenerateSpec spec) {
  absl::StatusOr<Reader> reader = Generate(std::move(spec));
  if (reader.ok()) return Read(**reader);
  Told told;
  told.error = reader.status();
  return told;
}

absl::StatusOr<std::vector<SampledToken>> EngineTest::Score(std::string id, std::string_view text) {
  std::optional<SessionName> session;
  if (!id.empty()) session = Name(id);
  return Wait<absl::StatusOr<std::vector<SampledToken>>>([&](auto done) {
    engine_->Score(session, SmallSettings(), "acme", Ids(text), 0, nullptr, done);
  });
}

absl::StatusOr<Engine::SearchResult> EngineTest::Search(std::string id, std::string_view text,
                                                        int32_t limit) {
  return Wait<absl::StatusOr<Engine::SearchResult>>(
      [&](auto done) { engine_->Search(Name(id), Ids(text), limit, nullptr, done); });
}

bool EngineTest::Eventually(const std::function<bool()>& done) {
  const absl::Time deadline = absl::Now() + kPatience;
  while (!done()) {
    if (absl::Now() > deadline) return false;
    absl::SleepFor(absl::Milliseconds(1));
  }
  return true;
}

bool EngineTest::WaitUntilFree(std::string id) {
  return Eventually([&] {
    absl::StatusOr<SessionInfo> info = Get(id);
    return info.ok() && !info->busy;
  });
}

void EngineTest::ExpectEmptyJournal() {
  engine_.reset();
  auto journal = memory::Journal::Open(journal_);
  ASSERT_TRUE(journal.ok()) << journal.status();
  for (const std::string prefix :
       {"c/", "d/", "e/", "m/", "n/", "o/", "p/", "r/", "s/", "t/", "x/"}) {
    const absl::Status scanned =
        (*journal)->Scan(prefix, prefix, [&](std::string_view key, std::string_view) {
          ADD_FAILURE() << "left: " << key;
          return true;
        });
    EXPECT_TRUE(scanned.ok()) << scanned;
  }
}

}  // namespace eidetic
