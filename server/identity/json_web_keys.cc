#include "server/identity/json_web_keys.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/param_build.h>

#include <utility>

#include "absl/strings/escaping.h"
#include "server/identity/strict_json.h"

namespace eidetic {
namespace {

constexpr int kMinRsaBits = 2048, kMaxRsaBits = 8192;
constexpr size_t kMaxFieldChars = 2048;
constexpr size_t kP256Bytes = 32;

template <typename T, void (*kFree)(T*)>
struct Freeing {
  void operator()(T* object) const { kFree(object); }
};
template <typename T, void (*kFree)(T*)>
using Owned = std::unique_ptr<T, Freeing<T, kFree>>;
using Number = Owned<BIGNUM, BN_free>;

const unsigned char* Bytes(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

Number ToNumber(std::string_view big_endian) {
  return Number(BN_bin2bn(Bytes(big_endian), static_cast<int>(big_endian.size()), nullptr));
}

// A public key out of its parts; null when they make none.
EVP_PKEY* Build(const char* type, OSSL_PARAM_BLD* parts) {
  const Owned<OSSL_PARAM, OSSL_PARAM_free> params(OSSL_PARAM_BLD_to_param(parts));
  const Owned<EVP_PKEY_CTX, EVP_PKEY_CTX_free> context(
      EVP_PKEY_CTX_new_from_name(nullptr, type, nullptr));
  EVP_PKEY* key = nullptr;
  if (EVP_PKEY_fromdata_init(context.get()) != 1 ||
      EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_PUBLIC_KEY, params.get()) != 1) {
    ERR_clear_error();
    return nullptr;
  }
  const Owned<EVP_PKEY_CTX, EVP_PKEY_CTX_free> check(
      EVP_PKEY_CTX_new_from_pkey(nullptr, key, nullptr));
  if (EVP_PKEY_public_check(check.get()) == 1) return key;
  ERR_clear_error();
  EVP_PKEY_free(key);
  return nullptr;
}

absl::StatusOr<std::string> Binary(const JsonObject& object, const char* name) {
  const auto text = object.Text(name, kMaxFieldChars);
  if (!text.ok()) return text.status();
  auto bytes = DecodeBase64Url(*text);
  if (!bytes) return object.Refuse(name, "must be base64url without padding");
  return *std::move(bytes);
}

absl::StatusOr<JsonWebKey> ParseRsa(const JsonObject& object) {
  const auto n = Binary(object, "n");
  if (!n.ok()) return n.status();
  const auto e = Binary(object, "e");
  if (!e.ok()) return e.status();
  const Number modulus = ToNumber(*n), exponent = ToNumber(*e);
  if (const int bits = BN_num_bits(modulus.get()); bits < kMinRsaBits || bits > kMaxRsaBits) {
    return object.Refuse("n", "must have from 2048 to 8192 bits");
  }
  // Larger ones only make each check slow.
  if (!BN_is_odd(exponent.get()) || BN_is_one(exponent.get()) || BN_num_bits(exponent.get()) > 32) {
    return object.Refuse("e", "must be odd, above 1 and of at most 32 bits");
  }
  const Owned<OSSL_PARAM_BLD, OSSL_PARAM_BLD_free> parts(OSSL_PARAM_BLD_new());
  OSSL_PARAM_BLD_push_BN(parts.get(), OSSL_PKEY_PARAM_RSA_N, modulus.get());
  OSSL_PARAM_BLD_push_BN(parts.get(), OSSL_PKEY_PARAM_RSA_E, exponent.get());
  EVP_PKEY* key = Build("RSA", parts.get());
  if (key == nullptr) return object.Refuse("n", "is no RSA modulus");
  return JsonWebKey(JsonWebKey::Algorithm::kRs256, key);
}

absl::StatusOr<JsonWebKey> ParseP256(const JsonObject& object) {
  const auto x = Binary(object, "x");
  if (!x.ok()) return x.status();
  const auto y = Binary(object, "y");
  if (!y.ok()) return y.status();
  if (x->size() != kP256Bytes || y->size() != kP256Bytes) {
    return object.Refuse("x", "and y must have 32 bytes each");
  }
  const std::string point = "\x04" + *x + *y;  // SEC 1, uncompressed
  const Owned<OSSL_PARAM_BLD, OSSL_PARAM_BLD_free> parts(OSSL_PARAM_BLD_new());
  OSSL_PARAM_BLD_push_utf8_string(parts.get(), OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0);
  OSSL_PARAM_BLD_push_octet_string(parts.get(), OSSL_PKEY_PARAM_PUB_KEY, point.data(),
                                   point.size());
  EVP_PKEY* key = Build("EC", parts.get());
  if (key == nullptr) return object.Refuse("x", "and y are no point of P-256");
  return JsonWebKey(JsonWebKey::Algorithm::kEs256, key);
}

// ES256's signature is r and s side by side (RFC 7518, section 3.4); OpenSSL takes DER. Empty when
// it is none.
std::string ToDer(std::string_view signature) {
  if (signature.size() != 2 * kP256Bytes) return "";
  const Owned<ECDSA_SIG, ECDSA_SIG_free> parts(ECDSA_SIG_new());
  ECDSA_SIG_set0(parts.get(), ToNumber(signature.substr(0, kP256Bytes)).release(),
                 ToNumber(signature.substr(kP256Bytes)).release());
  unsigned char* der = nullptr;
  const int size = i2d_ECDSA_SIG(parts.get(), &der);
  if (size <= 0) return "";
  std::string bytes(reinterpret_cast<char*>(der), static_cast<size_t>(size));
  OPENSSL_free(der);
  return bytes;
}

// Keys of other kinds, or for another use, are none of ours.
absl::StatusOr<std::optional<JsonWebKey>> ParseKey(const JsonObject& object) {
  const auto type = object.Text("kty", kMaxFieldChars);
  if (!type.ok()) return type.status();
  const auto curve = object.OptionalText("crv", kMaxFieldChars);
  if (!curve.ok()) return curve.status();
  const auto use = object.OptionalText("use", kMaxFieldChars);
  if (!use.ok()) return use.status();
  const auto algorithm = object.OptionalText("alg", kMaxFieldChars);
  if (!algorithm.ok()) return algorithm.status();
  const bool rsa = *type == "RSA", p256 = *type == "EC" && *curve == "P-256";
  const bool ours = (rsa || p256) && use->value_or("sig") == "sig" &&
                    algorithm->value_or(rsa ? "RS256" : "ES256") == (rsa ? "RS256" : "ES256");
  if (!ours) return std::optional<JsonWebKey>();
  if (object.Has("d")) {
    return object.Refuse("d", "is a private key; give the server the public half alone");
  }
  auto key = rsa ? ParseRsa(object) : ParseP256(object);
  if (!key.ok()) return key.status();
  return std::optional<JsonWebKey>(*std::move(key));
}

}  // namespace

std::optional<std::string> DecodeBase64Url(std::string_view text) {
  std::string bytes;
  if (!absl::WebSafeBase64Unescape(absl::string_view(text.data(), text.size()), &bytes)) {
    return std::nullopt;
  }
  // By its spelling: decoding lets padding, blanks and stray bits at the end pass.
  if (absl::WebSafeBase64Escape(bytes) != text) return std::nullopt;
  return bytes;
}

bool JsonWebKey::Verifies(std::string_view bytes, std::string_view signature) const {
  const std::string checked =
      algorithm_ == Algorithm::kEs256 ? ToDer(signature) : std::string(signature);
  if (checked.empty()) return false;
  const Owned<EVP_MD_CTX, EVP_MD_CTX_free> context(EVP_MD_CTX_new());
  const bool valid =
      EVP_DigestVerifyInit(context.get(), nullptr, EVP_sha256(), nullptr, key_.get()) == 1 &&
      EVP_DigestVerify(context.get(), Bytes(checked), checked.size(), Bytes(bytes), bytes.size()) ==
          1;
  ERR_clear_error();  // gRPC's TLS reads the same queue
  return valid;
}

absl::StatusOr<JsonWebKeys> JsonWebKeys::Parse(std::string_view json) {
  const auto tree = ParseStrictJson(json);
  if (!tree.ok()) return tree.status();
  const auto file = JsonObject::Of(*tree, "");
  if (!file.ok()) return file.status();
  JsonWebKeys parsed;
  absl::Status status = file->ForEach("keys", [&](const JsonObject& object) {
    auto key = ParseKey(object);
    if (!key.ok()) return key.status();
    if (!*key) return absl::OkStatus();
    const auto id = object.Text("kid", kMaxKeyIdBytes);
    if (!id.ok()) return id.status();
    if (parsed.keys_.emplace(*id, **std::move(key)).second) return absl::OkStatus();
    return object.Refuse("kid", "is given twice");
  });
  if (status.ok() && parsed.keys_.empty()) {
    status = file->Refuse("keys", "has no RSA key for RS256 and no P-256 key for ES256");
  }
  if (!status.ok()) return status;
  return parsed;
}

const JsonWebKey* JsonWebKeys::Find(const std::string& key_id) const {
  const auto found = keys_.find(key_id);
  return found == keys_.end() ? nullptr : &found->second;
}

}  // namespace eidetic
