#include "server/identity/resource_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "eidetic/v1/generation_service.pb.h"
#include "eidetic/v1/operation_service.pb.h"
#include "eidetic/v1/session_service.pb.h"
#include "engine/session_name.h"
#include "server/identity/audit.h"

namespace eidetic {
namespace {

const Caller kUser{"acme", Role::kUser, "key:ci"};
const Caller kAdmin{"ops", Role::kAdmin, "key:root"};
const Caller kAnyone{"", Role::kAnonymous, ""};

template <typename Request>
Request Named(const std::string& name) {
  Request request;
  request.set_name(name);
  return request;
}

TEST(ResourceCheckTest, ATenantNamesItsOwn) {
  for (const char* name : {"tenants/acme/sessions/a", "tenants/acme", "models/demo", "", "garbage",
                           "tenants/acme/operations/warm-1"}) {
    EXPECT_TRUE(CheckResources(kUser, Named<v1::GetSessionRequest>(name)).ok()) << name;
  }
}

TEST(ResourceCheckTest, AnothersIsAbsent) {
  const std::string session = "tenants/other/sessions/a";
  const absl::Status absent = NoSuchSession({"other", "a"});
  EXPECT_EQ(CheckResources(kUser, Named<v1::GetSessionRequest>(session)), absent);
  EXPECT_EQ(CheckResources(kUser, Named<v1::DeleteSnapshotRequest>(session + "/snapshots/s")),
            absent);
  EXPECT_EQ(CheckResources(kUser, Named<v1::GetOperationRequest>("tenants/other/operations/x")),
            NoSuchOperation());
  EXPECT_EQ(CheckResources(kUser, Named<v1::GetOperationRequest>(session)), NoSuchOperation());
  v1::RestoreSessionRequest restore = Named<v1::RestoreSessionRequest>("tenants/acme/sessions/a");
  restore.set_snapshot(session + "/snapshots/s");
  EXPECT_EQ(CheckResources(kUser, restore), absent);
  v1::GenerateRequest generate;
  generate.set_parent("tenants/other");
  EXPECT_TRUE(absl::IsNotFound(CheckResources(kUser, generate)));
}

TEST(ResourceCheckTest, NamesThatOnlyLookLikeOnesOwn) {
  for (const char* name :
       {"tenants/acme-2/sessions/a", "tenants/acm/sessions/a", "tenants//sessions/a", "tenants/",
        "tenants/ACME/sessions/a", "tenants/-/sessions/a", "tenants/acme%2f/sessions/a",
        "tenants//acme/sessions/a", "tenants/../tenants/acme", "tenants/ acme"}) {
    EXPECT_TRUE(absl::IsNotFound(CheckResources(kUser, Named<v1::GetSessionRequest>(name))))
        << name;
  }
}

TEST(ResourceCheckTest, WhatPeopleWriteIsNoName) {
  v1::GenerateRequest request;
  request.set_session("tenants/acme/sessions/a");
  request.add_stop_strings("tenants/other/sessions/a");
  request.set_request_id("tenants/other");
  request.mutable_prompt()->set_text("tenants/other");
  EXPECT_TRUE(CheckResources(kUser, request).ok());
}

TEST(ResourceCheckTest, AdminsAndWhoeverIsNotAskedNameEverything) {
  for (const Caller& caller : {kAdmin, kAnyone}) {
    EXPECT_TRUE(
        CheckResources(caller, Named<v1::DeleteSessionRequest>("tenants/x/sessions/a")).ok());
  }
}

std::string Logged(const Caller& caller, const google::protobuf::Message& request) {
  ::testing::internal::CaptureStderr();
  EXPECT_TRUE(CheckResources(caller, request).ok());
  return ::testing::internal::GetCapturedStderr();
}

TEST(AuditTest, OneLineForEachActOnAnothersAndForDeletions) {
  const auto get = Named<v1::GetSessionRequest>("tenants/acme/sessions/a");
  const auto own = Named<v1::GetSessionRequest>("tenants/ops/sessions/a");
  const auto remove = Named<v1::DeleteSessionRequest>("tenants/ops/sessions/a");
  EXPECT_THAT(
      Logged(kAdmin, get),
      ::testing::EndsWith("] audit {\"act\":\"GetSession\",\"caller\":\"key:root\","
                          "\"tenant\":\"ops\",\"resource\":\"tenants/acme/sessions/a\"}\n"));
  EXPECT_EQ(Logged(kAdmin, own), "");
  EXPECT_THAT(Logged(kAdmin, remove), ::testing::HasSubstr("audit {\"act\":\"DeleteSession\""));
  EXPECT_EQ(Logged(kUser, get), "");
  EXPECT_EQ(Logged(kAnyone, remove), "");
}

TEST(AuditTest, NothingThatAUserWroteGetsIntoTheLog) {
  const std::string line = AuditJson({"ops", Role::kAdmin, "token:\"x\"\xff\n"}, "GetSession",
                                     "tenants/x/sessions/\nI forged this line");
  EXPECT_EQ(line.find('\n'), std::string::npos);
  EXPECT_EQ(line.find("forged"), std::string::npos);
  EXPECT_NE(line.find("(malformed)"), std::string::npos);
}

}  // namespace
}  // namespace eidetic
