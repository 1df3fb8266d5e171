// SHA-256, for fingerprints of requests and checksums of page tokens.
//
// Thread safety: pure functions. Ownership: none. Preconditions: none.
#ifndef EIDETIC_SERVER_DIGEST_H_
#define EIDETIC_SERVER_DIGEST_H_

#include <google/protobuf/message.h>

#include <string>
#include <string_view>

namespace eidetic {

// 32 bytes.
std::string Sha256(std::string_view bytes);

// What a request asks for, in 32 bytes: its type and its fields, without those that tell which
// part of the answer is sent, and how: `request_id`, `resume_from`, `max_message_tokens`. The
// same body gives the same fingerprint in every build.
std::string Fingerprint(const google::protobuf::Message& request);

}  // namespace eidetic

#endif  // EIDETIC_SERVER_DIGEST_H_
