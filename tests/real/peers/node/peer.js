// node peer.js CONFIG.json: one federation peer on loopback, built from a library by others.
//
// CONFIG: {"role": ..., "port": ..., "response_headers": {...}, ...the role's own keys below}.
// A relying party answers a sign-on with JSON: who signed on, and what the request looked like to it.
'use strict';

const fs = require('node:fs');
const express = require('express');
const passport = require('passport');

const settings = JSON.parse(fs.readFileSync(process.argv[2], 'utf8'));
const app = express();
app.disable('x-powered-by');
app.use((request, response, next) => {
  response.set(settings.response_headers ?? {});
  next();
});
app.use(express.urlencoded({ extended: false, limit: '2mb' }));

const read = (path) => fs.readFileSync(path, 'utf8');

function claimsOf(names) {
  function profileMapper(user) {
    return {
      getClaims: () => ({ [names.mail]: user.id, [names.groups]: user.groups }),
      getNameIdentifier: () => ({
        nameIdentifier: user.id,
        nameIdentifierFormat: 'urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress',
      }),
    };
  }
  profileMapper.prototype.metadata = []; // the metadata endpoint reads it there
  return profileMapper;
}

function deviceTrustHeaders(request) {
  return Object.fromEntries(Object.entries(request.headers).filter(([name]) => name.startsWith('x-')));
}

function answer(request, response, error, user, information) {
  if (error || !user) {
    const why = error ? error.message : information?.message ?? JSON.stringify(information);
    response.status(403).json({ login: 'refused', why });
    return;
  }
  response.json({
    login: 'ok',
    user: user.nameID ?? user.id ?? user['http://schemas.xmlsoap.org/ws/2005/05/identity/claims/nameidentifier'],
    profile: user,
    form: request.body,
    origin: request.headers.origin ?? null,
    headers: deviceTrustHeaders(request),
    url: request.originalUrl,
  });
}

function relyingParty(strategy, endpoint) {
  passport.use('peer', strategy);
  app.use(passport.initialize());
  const options = { session: false };
  app.get('/login', (request, response, next) => {
    passport.authenticate('peer', { ...options, wctx: request.query.wctx ?? 'rm=0&id=passive' })(request, response, next);
  });
  app.post(endpoint, (request, response, next) => {
    passport.authenticate('peer', options, (...result) => answer(request, response, ...result))(request, response, next);
  });
}

const roles = {
  // auth0 samlp. Keys: issuer, certificate, private_key, user, assertion_endpoints {entityID: URL}, sign_response
  'saml-idp': () => {
    const samlp = require('samlp');
    const options = {
      issuer: settings.issuer,
      cert: read(settings.certificate),
      key: read(settings.private_key),
      getUserFromRequest: () => settings.user,
      profileMapper: claimsOf({ mail: 'mail', groups: 'groups' }),
      signAssertion: true,
      signResponse: settings.sign_response ?? false,
      lifetimeInSeconds: 300,
      includeAttributeNameFormat: true,
    };
    app.all('/sso', (request, response, next) => {
      samlp.parseRequest(request, (error, authnRequest) => {
        if (error) return next(error);
        const audience = authnRequest?.issuer ?? request.query.audience; // no request: IdP-initiated
        const endpoint = settings.assertion_endpoints[audience];
        if (!endpoint) return response.status(400).send(`unknown relying party ${audience}`);
        // Recipient and Destination are read before getPostURL runs, so they are set for each request.
        const each = { ...options, audience, recipient: endpoint, destination: endpoint };
        each.getPostURL = (_audience, _document, _request, done) => done(null, endpoint);
        return samlp.auth(each)(request, response, next);
      });
    });
    app.get(
      '/metadata',
      samlp.metadata({ ...options, redirectEndpointPath: '/sso', postEndpointPath: '/sso' }),
    );
  },

  // auth0 wsfed. Keys: issuer, certificate, private_key, user, assertion_endpoints {wtrealm: URL}
  'wsfed-sts': () => {
    const wsfed = require('wsfed');
    const namespace = 'http://schemas.xmlsoap.org/claims/';
    const options = {
      issuer: settings.issuer,
      cert: read(settings.certificate),
      key: read(settings.private_key),
      getUserFromRequest: () => settings.user,
      profileMapper: claimsOf({ mail: `${namespace}EmailAddress`, groups: `${namespace}Group` }),
      lifetime: 300,
      getPostURL: (realm, _reply, _request, done) => done(null, settings.assertion_endpoints[realm] ?? null),
    };
    app.get('/sso', wsfed.auth(options));
    app.get('/metadata', wsfed.metadata({ ...options, endpointPath: '/sso' }));
  },

  // @node-saml/passport-saml. Keys: entity_id, assertion_url, idp {sso_url, entity_id, certificate}
  'saml-sp': () => {
    const { Strategy } = require('@node-saml/passport-saml');
    const accept = (profile, done) => done(null, profile);
    relyingParty(
      new Strategy(
        {
          issuer: settings.entity_id,
          audience: settings.entity_id,
          callbackUrl: settings.assertion_url,
          entryPoint: settings.idp.sso_url,
          idpIssuer: settings.idp.entity_id,
          idpCert: read(settings.idp.certificate),
          wantAssertionsSigned: true,
          wantAuthnResponseSigned: false,
          validateInResponseTo: 'ifPresent',
          identifierFormat: null,
          disableRequestedAuthnContext: true,
        },
        accept,
        accept,
      ),
      new URL(settings.assertion_url).pathname,
    );
  },

  // passport-wsfed-saml2. Keys: entity_id (wtrealm), assertion_url, idp {sso_url, certificate}
  'wsfed-rp': () => {
    const { Strategy } = require('passport-wsfed-saml2');
    relyingParty(
      new Strategy(
        {
          realm: settings.entity_id,
          homeRealm: '',
          wreply: settings.assertion_url,
          recipientUrl: settings.assertion_url,
          identityProviderUrl: settings.idp.sso_url,
          cert: read(settings.idp.certificate).replace(/-----[^-]+-----|\s/g, ''),
          protocol: 'wsfed',
        },
        (profile, done) => done(null, profile),
      ),
      new URL(settings.assertion_url).pathname,
    );
  },
};

roles[settings.role]();
app.get('/', (request, response) => response.json({ role: settings.role, headers: deviceTrustHeaders(request) }));
// express knows an error handler by its four parameters
app.use((error, request, response, next) => response.status(500).json({ login: 'error', why: error.stack }));
app.listen(settings.port, '127.0.0.1');
